// SPDX-License-Identifier: GPL-2.0-only
/*
 * A cable: the host of the login machine (proto/login.h). One worker runs it;
 * every other context leaves a message in the inbox and kicks the worker.
 */
#include <linux/delay.h>
#include <linux/random.h>
#include <linux/slab.h>
#include "internal.h"
#include "trace.h"

/* After the rings stopped, DMA that was under way may still write a buffer. */
#define QUARANTINE_MS	10
#define NHI_RETRY	msecs_to_jiffies(50)
#define NO_RINGS_SAID	4	/* attempts, within about a second */

/**
 * tbib_link_kick() - have the worker look at the inbox; any context
 * @link: the cable
 */
void tbib_link_kick(struct tbib_link *link)
{
	mod_delayed_work(tbib_wq, &link->work, 0);
}

/* ---- what the machine asks for (TBIB_LA_*); mutex held ---------------- */

static u32 random_nonzero(void)
{
	u32 v;

	do
		v = get_random_u32();
	while (!v);
	return v;
}

static u8 ring_lanes(unsigned int index, unsigned int n)
{
	if (n == 1)
		return BIT(TBIB_LANE_EXPRESS) | BIT(TBIB_LANE_BULK);
	return index ? BIT(TBIB_LANE_BULK) : BIT(TBIB_LANE_EXPRESS);
}

/* Frees rings from index @keep on. Their paths are off. */
static void close_rings(struct tbib_link *link, unsigned int keep)
{
	unsigned int i;

	if (link->n_open <= keep)
		return;
	for (i = keep; i < link->n_open; i++)
		tbib_ring_stop(link->ring[i]);
	msleep(QUARANTINE_MS);
	for (i = keep; i < link->n_open; i++)
		tbib_ring_give_back(link->ring[i]);
	if (link->drain) {
		link->drain = false;
		if (tbib_fops->link_drained)
			tbib_fops->link_drained(link);
	}
	for (i = keep; i < link->n_open; i++) {
		tbib_ring_free(link->ring[i]);
		link->ring[i] = NULL;
	}
	link->n_open = keep;
}

static void close_session(struct tbib_link *link)
{
	if (link->paths)
		tbib_paths_close(link->paths);
	link->paths = NULL;
	close_rings(link, 0);
	link->n_ring = 0;
	link->dirty = false;
	link->fsm.mine.ready = false;
	link->fsm.mine.n_ring = 0;
}

/* Another cable may be about to give one back: said when it lasts. */
static void found_rings(struct tbib_link *link, bool found)
{
	if (found) {
		link->no_rings = 0;
		return;
	}
	if (link->no_rings < NO_RINGS_SAID && ++link->no_rings == NO_RINGS_SAID)
		dev_err(&link->xd->dev,
			"tbib: no ring pair of the host router is to be had for this cable\n");
}

/* Rings run and have buffers when this is done: then the peer may be told. */
static void open_session(struct tbib_link *link)
{
	struct tbib_paths *paths;
	unsigned int n;

	link->planned = tbib_plan_rings(link);
	n = tbib_free_rings(link, link->planned);
	if (!n)
		return;
	paths = tbib_paths_new(link, n);
	if (IS_ERR(paths))
		return;
	link->paths = paths;

	while (link->n_open < paths->n) {
		struct tbib_ring *ring = tbib_ring_new(link, link->n_open);

		if (IS_ERR(ring))
			break;
		paths->path[link->n_open].tx_ring = ring->tx->hop;
		paths->path[link->n_open].rx_ring = ring->rx->hop;
		link->ring[link->n_open++] = ring;
	}
	if (!link->n_open)
		close_session(link);
}

static void new_session(struct tbib_link *link)
{
	struct tbib_login *mine = &link->fsm.mine;
	unsigned int i;

	/* rings that were never connected are as good as new ones */
	if (link->dirty)
		close_session(link);
	if (!link->n_open) {
		open_session(link);
		found_rings(link, link->n_open);
	}

	memset(mine, 0, sizeof(*mine));
	mine->version = TBIB_LOGIN_VERSION;
	mine->node_guid = tbib_local_guid();
	mine->boot_nonce = tbib_local_nonce();
	memcpy(mine->uuid, link->local_uuid.b, UUID_SIZE);
	memcpy(mine->peer_uuid, link->remote_uuid.b, UUID_SIZE);
	mine->session = random_nonzero();
	mine->cookie = random_nonzero();
	mine->n_ring = link->n_open;
	mine->ready = link->n_open > 0;
	for (i = 0; i < link->n_open; i++) {
		mine->hopid[i] = link->paths->path[i].tx_hopid;
		mine->limit[i] = TBIB_RX_BUFFERS - TBIB_RING_RESERVE;
		mine->lanes[i] = ring_lanes(i, link->n_open);
	}
}

static void told_no_paths(struct tbib_link *link, int err)
{
	if (err == -EOPNOTSUPP && !link->no_paths_told) {
		link->no_paths_told = true;
		dev_err(&link->xd->dev,
			"tbib: the firmware's connection manager allows one tunnel per cable, and another driver (thunderbolt_net?) has it\n");
	} else if (err != -EOPNOTSUPP) {
		dev_warn(&link->xd->dev, "tbib: cannot enable paths: %d\n",
			 err);
	}
}

/* As many pairs as both ends have; the others go back to the NHI. */
static enum tbib_link_event paths_up(struct tbib_link *link)
{
	const struct tbib_login *peer = &link->fsm.peer;
	unsigned int n = min_t(unsigned int, link->n_open, peer->n_ring);
	unsigned int i;
	int ret;

	if (!n || !link->paths)
		return TBIB_LE_PATHS_FAIL;
	close_rings(link, n);
	link->dirty = true;
	for (i = 0; i < n; i++) {
		link->ring[i]->lanes = ring_lanes(i, n);
		link->ring[i]->peer_limit = peer->limit[i];
	}
	ret = tbib_paths_open(link->paths, n, peer->hopid);
	if (ret) {
		told_no_paths(link, ret);
		return TBIB_LE_PATHS_FAIL;
	}
	link->n_ring = n;
	return TBIB_LE_PATHS_OK;
}

static void forget_node(struct tbib_link *link)
{
	if (link->added)
		tbib_fops->link_del(link);
	link->added = false;
}

/* Return: false when the fabric does not want the link now. */
static bool report_up(struct tbib_link *link)
{
	u64 guid = link->fsm.peer.node_guid;
	unsigned int i;

	if (link->added && link->added_guid != guid)
		forget_node(link);
	if (!link->added) {
		if (tbib_fops->link_add(link))
			return false;
		link->added = true;
		link->added_guid = guid;
	}
	if (tbib_fops->link_up(link))
		return false;
	link->up = true;
	link->drain = true;
	for (i = 0; i < link->n_ring; i++)
		tbib_ring_live(link->ring[i]);
	return true;
}

static void report_down(struct tbib_link *link)
{
	unsigned int i;

	if (!link->up)
		return;
	link->up = false;
	for (i = 0; i < link->n_ring; i++)
		WRITE_ONCE(link->ring[i]->live, false);
	synchronize_rcu();
	tbib_fops->link_down(link);
}

static void say_refused(struct tbib_link *link)
{
	const struct tbib_login *peer = &link->fsm.peer;

	if (link->fsm.refused == TBIB_LOGIN_SAME_GUID)
		dev_err_ratelimited(&link->xd->dev,
			"tbib: refused: %s has our own node GUID %016llx\n",
			link->peer_name, peer->node_guid);
	else
		dev_err_ratelimited(&link->xd->dev,
			"tbib: refused: %s speaks version %u of the protocol, we speak %u\n",
			link->peer_name, peer->version, TBIB_LOGIN_VERSION);
}

static void event(struct tbib_link *link, enum tbib_link_event ev,
		  const struct tbib_login *msg);

/* Why the link is not up: enum tbib_login_status or TBIB_LINK_NO_RINGS. */
static u8 why(const struct tbib_link *link)
{
	const struct tbib_link_fsm *f = &link->fsm;

	if (f->state != TBIB_LINK_LOGIN)
		return f->refused;
	if (link->no_rings == NO_RINGS_SAID)
		return TBIB_LINK_NO_RINGS;
	return f->peer.session && !f->peer.ready ? TBIB_LOGIN_AGAIN :
						   TBIB_LOGIN_OK;
}

/* In the order that proto/login.h asks for. */
static void act(struct tbib_link *link, u32 todo)
{
	if (todo & TBIB_LA_REFUSE)
		say_refused(link);
	if (todo & TBIB_LA_REPORT_DOWN)
		report_down(link);
	if (todo & TBIB_LA_LOGOUT)
		tbib_login_logout(link);
	if (todo & TBIB_LA_PATHS_DOWN)
		close_session(link);
	if (todo & TBIB_LA_NEW_SESSION)
		new_session(link);
	if (todo & TBIB_LA_REQUEST)
		queue_work(tbib_wq, &link->asking);
	if (todo & TBIB_LA_PATHS_UP)
		event(link, paths_up(link), NULL);
	if (todo & TBIB_LA_REPORT_UP && !report_up(link))
		event(link, TBIB_LE_PATHS_FAIL, NULL);
}

/* Runs one event. Depth is bounded: PATHS_UP -> REPORT_UP -> failed. */
static void event(struct tbib_link *link, enum tbib_link_event ev,
		  const struct tbib_login *msg)
{
	u8 old = link->fsm.state;
	u32 todo = tbib_link_event(&link->fsm, ev, msg, ktime_get_ns());

	trace_tbib_link(link->id, ev, old, link->fsm.state, todo);
	act(link, todo);
	if (link->fsm.state == link->told_state && why(link) == link->told_why)
		return;
	link->told_state = link->fsm.state;
	link->told_why = why(link);
	tbib_fops->link_state(link);
}

/* ---- the worker ------------------------------------------------------ */

static void handle(struct tbib_link *link, const struct tbib_told *in)
{
	const struct tbib_link_fsm *f = &link->fsm;

	/* a late logout of an older session means nothing */
	if (in->logout && (in->left || !f->peer.session ||
			   f->peer.session == in->logout_msg.session))
		event(link, TBIB_LE_LOGOUT, &in->logout_msg);
	if (in->restart)
		event(link, TBIB_LE_SILENT, NULL);
	if ((in->shrink && tbib_plan_rings(link) < link->n_open) ||
	    (in->grow && link->n_open &&
	     tbib_plan_rings(link) > link->planned)) {
		link->dirty = true;
		event(link, TBIB_LE_SILENT, NULL);
	}
	if (in->response)
		event(link, TBIB_LE_RESPONSE, &in->response_msg);
	else if (in->no_answer)
		event(link, TBIB_LE_NO_ANSWER, NULL);
	if (in->request)
		event(link, TBIB_LE_REQUEST, &in->request_msg);
	if (in->request || in->logout)
		tbib_login_answer(link, in->sn);
	if (f->deadline && ktime_get_ns() >= f->deadline)
		event(link, TBIB_LE_TIMER, NULL);
}

static void read_peer_name(struct tbib_link *link)
{
	struct tb_xdomain *xd = link->xd;

	mutex_lock(&xd->lock);
	strscpy(link->peer_name, xd->device_name ? xd->device_name : "?",
		sizeof(link->peer_name));
	mutex_unlock(&xd->lock);
}

static void set_timer(struct tbib_link *link)
{
	u64 now = ktime_get_ns();
	u64 wait;

	if (!link->fsm.deadline)
		return;
	wait = link->fsm.deadline > now ? link->fsm.deadline - now : 0;
	queue_delayed_work(tbib_wq, &link->work, nsecs_to_jiffies(wait) + 1);
}

static void link_work(struct work_struct *work)
{
	struct tbib_link *link = container_of(to_delayed_work(work),
					      struct tbib_link, work);
	struct tbib_told *in;

	in = kzalloc(sizeof(*in), GFP_KERNEL);
	mutex_lock(&link->mutex);
	if (link->dying || link->suspended)
		goto out;
	link->nhi = tbib_nhi_find(link->domain);
	if (!in || !link->nhi) {
		queue_delayed_work(tbib_wq, &link->work, NHI_RETRY);
		goto out;
	}
	if (!link->started) {
		link->started = true;
		read_peer_name(link);
		event(link, TBIB_LE_PEER, NULL);
	}
	tbib_inbox_take(&link->inbox, in);
	handle(link, in);
	set_timer(link);
out:
	mutex_unlock(&link->mutex);
	kfree(in);
}

/* ---- life ------------------------------------------------------------ */

/**
 * tbib_link_new() - a link for a cable; see tbib_link_start()
 * @svc: the peer's service
 *
 * Return: the link or an ERR_PTR.
 */
struct tbib_link *tbib_link_new(struct tb_service *svc)
{
	struct tb_xdomain *xd = tb_service_parent(svc);
	struct tbib_link *link;

	if (!xd || !xd->local_uuid || !xd->remote_uuid)
		return ERR_PTR(-ENODEV);
	link = kzalloc(sizeof(*link), GFP_KERNEL);
	if (!link)
		return ERR_PTR(-ENOMEM);
	mutex_init(&link->mutex);
	tbib_inbox_init(&link->inbox);
	INIT_DELAYED_WORK(&link->work, link_work);
	INIT_WORK(&link->asking, tbib_login_ask);
	tbib_link_fsm_init(&link->fsm);
	link->xd = tb_xdomain_get(xd);
	link->tb_nhi = xd->tb->nhi;
	link->domain = xd->tb->index;
	link->route = xd->route;
	link->hopid_hint = -1;
	uuid_copy(&link->local_uuid, xd->local_uuid);
	uuid_copy(&link->remote_uuid, xd->remote_uuid);
	return link;
}

/**
 * tbib_link_start() - from here on it logs in, for ever
 * @link: from tbib_link_new()
 *
 * Other cables of its NHI may have to give up a ring pair. When a cable goes,
 * they take it back at their next login: no traffic is disturbed for that.
 */
void tbib_link_start(struct tbib_link *link)
{
	tbib_links_add(link);
	tbib_links_shrink(link->tb_nhi);
	tbib_link_kick(link);
}

/*
 * Down in an orderly way: the fabric stops sending, then the peer does (a peer
 * that streams into a path that is torn down can wedge a router), then paths,
 * then rings. @link->mutex is held.
 */
static void take_down(struct tbib_link *link)
{
	if (link->started)
		event(link, TBIB_LE_GONE, NULL);
	close_session(link);
	link->started = false;
}

/**
 * tbib_link_remove() - the cable or the peer's service is gone, or we leave
 * @link: freed on return
 *
 * Synchronous; may run under tb->lock, see struct tbib_paths.
 */
void tbib_link_remove(struct tbib_link *link)
{
	mutex_lock(&link->mutex);
	WRITE_ONCE(link->dying, true);	/* nothing more is asked */
	mutex_unlock(&link->mutex);
	/* the question comes first: there is one in flight per peer */
	cancel_work_sync(&link->asking);
	mutex_lock(&link->mutex);
	take_down(link);
	forget_node(link);
	mutex_unlock(&link->mutex);

	tbib_links_del(link);	/* until here the logout's answer finds it */
	/* in this order: the one kicks the other, but not the reverse now */
	cancel_work_sync(&link->asking);
	cancel_delayed_work_sync(&link->work);

	tb_xdomain_put(link->xd);
	mutex_destroy(&link->mutex);
	kfree(link);
}

/**
 * tbib_link_suspend() - the NHI will be reset: no paths and rings are left
 * @link: the cable
 */
void tbib_link_suspend(struct tbib_link *link)
{
	mutex_lock(&link->mutex);
	link->suspended = true;
	mutex_unlock(&link->mutex);
	cancel_work_sync(&link->asking);
	mutex_lock(&link->mutex);
	take_down(link);
	mutex_unlock(&link->mutex);
	cancel_work_sync(&link->asking);
	cancel_delayed_work_sync(&link->work);
}

/**
 * tbib_link_resume() - log in again
 * @link: the cable
 */
void tbib_link_resume(struct tbib_link *link)
{
	mutex_lock(&link->mutex);
	link->suspended = false;
	mutex_unlock(&link->mutex);
	tbib_link_kick(link);
}

/**
 * tbib_link_again() - log in again; any context
 * @link: the cable
 * @when: and on what condition
 */
void tbib_link_again(struct tbib_link *link, enum tbib_again when)
{
	tbib_inbox_again(&link->inbox, when);
	tbib_link_kick(link);
}

/* ---- what the fabric asks -------------------------------------------- */

void tbib_link_restart(struct tbib_link *link)
{
	tbib_link_again(link, TBIB_AGAIN);
}

void tbib_link_get_info(struct tbib_link *link, struct tbib_link_info *info)
{
	static const u8 lanes[] = {
		[TB_LINK_WIDTH_SINGLE]	= 1,
		[TB_LINK_WIDTH_DUAL]	= 2,
		[TB_LINK_WIDTH_ASYM_TX]	= 3,
		[TB_LINK_WIDTH_ASYM_RX]	= 1,
	};
	unsigned int width = link->xd->link_width;

	memset(info, 0, sizeof(*info));
	info->id = link->id;
	info->state = link->fsm.state;
	info->refused = why(link);
	info->peer_guid = link->fsm.peer.node_guid;
	info->nonce = link->fsm.mine.boot_nonce;
	info->peer_nonce = link->fsm.peer.boot_nonce;
	info->local_uuid = link->local_uuid;
	info->remote_uuid = link->remote_uuid;
	info->route = link->route;
	info->domain = link->domain;
	info->speed_gbps = link->xd->link_speed;
	info->width = width < ARRAY_SIZE(lanes) ? lanes[width] : 0;
	info->n_ring = link->n_ring;
	strscpy(info->peer_name, link->peer_name, sizeof(info->peer_name));
}

void tbib_link_set_priv(struct tbib_link *link, void *priv)
{
	link->priv = priv;
}

void *tbib_link_priv(struct tbib_link *link)
{
	return link->priv;
}

u32 tbib_link_id(struct tbib_link *link)
{
	return link->id;
}

u32 tbib_link_cookie(struct tbib_link *link, bool mine)
{
	return mine ? link->fsm.mine.cookie : link->fsm.peer.cookie;
}

unsigned int tbib_link_rings(struct tbib_link *link)
{
	return link->n_ring;
}

struct tbib_ring *tbib_link_ring(struct tbib_link *link, unsigned int i)
{
	return i < link->n_ring ? link->ring[i] : NULL;
}

struct tbib_nhi *tbib_link_nhi(struct tbib_link *link)
{
	return link->nhi;
}
