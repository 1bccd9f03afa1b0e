// SPDX-License-Identifier: GPL-2.0-only
/*
 * The links that there are: who gets what came over the control channel, and
 * what is told to, or asked of, several of them.
 */
#include "internal.h"

static LIST_HEAD(links);
static DEFINE_SPINLOCK(links_lock);	/* the list, and next_id */
static u32 next_id = 1;

/**
 * tbib_links_add() - messages find it from here on
 * @link: the cable; gets its id
 */
void tbib_links_add(struct tbib_link *link)
{
	spin_lock(&links_lock);
	link->id = next_id++;
	list_add_tail(&link->list, &links);
	spin_unlock(&links_lock);
}

/**
 * tbib_links_del() - nobody finds it any more
 * @link: the cable
 */
void tbib_links_del(struct tbib_link *link)
{
	spin_lock(&links_lock);
	list_del(&link->list);
	spin_unlock(&links_lock);
}

static bool is_for(const struct tbib_link *link, const struct tbib_login *msg,
		   u64 route)
{
	return link->route == route &&
	       !memcmp(link->remote_uuid.b, msg->uuid, UUID_SIZE) &&
	       !memcmp(link->local_uuid.b, msg->peer_uuid, UUID_SIZE);
}

/**
 * tbib_links_deliver() - give the peer's message to the link that it is for
 * @msg: a request, an answer or a logout
 * @route: at which port of ours it came in
 * @sn: its sequence bits
 *
 * By both router UUIDs and the local route: one alone is not unique when two
 * cables join the same two hosts. Process context, does not sleep.
 */
void tbib_links_deliver(const struct tbib_login *msg, u64 route, u32 sn)
{
	struct tbib_link *link;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list) {
		if (!is_for(link, msg, route))
			continue;
		if (msg->type == TBIB_LOGIN_RESPONSE) {
			tbib_inbox_answered(&link->inbox, msg, sn);
		} else {
			tbib_inbox_put(&link->inbox, msg, sn);
			tbib_link_kick(link);
		}
		break;
	}
	spin_unlock(&links_lock);
}

/**
 * tbib_links_shrink() - the ring plan may allow less than it did
 * @nhi: to these cables
 */
void tbib_links_shrink(const struct tb_nhi *nhi)
{
	struct tbib_link *link;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list)
		if (link->tb_nhi == nhi)
			tbib_link_again(link, TBIB_AGAIN_TO_SHRINK);
	spin_unlock(&links_lock);
}

/**
 * tbib_links_grow() - the ring plan may allow more than it did
 * @xd: to this cable; a peer must not have others log in again at will
 */
void tbib_links_grow(const struct tb_xdomain *xd)
{
	struct tbib_link *link;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list)
		if (link->xd == xd)
			tbib_link_again(link, TBIB_AGAIN_TO_GROW);
	spin_unlock(&links_lock);
}

/**
 * tbib_links_on() - how many cables to hosts that speak tbib
 * @nhi: there are on it
 */
unsigned int tbib_links_on(const struct tb_nhi *nhi)
{
	struct tbib_link *link;
	unsigned int n = 0;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list)
		n += link->tb_nhi == nhi && !READ_ONCE(link->dying);
	spin_unlock(&links_lock);
	return n;
}

/** tbib_links_restart() - what we say of ourselves has changed */
void tbib_links_restart(void)
{
	struct tbib_link *link;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list)
		tbib_link_again(link, TBIB_AGAIN);
	spin_unlock(&links_lock);
}

void tbib_link_for_each(void (*fn)(const struct tbib_link_info *info,
				   void *arg), void *arg)
{
	struct tbib_link_info info;
	struct tbib_link *link;

	spin_lock(&links_lock);
	list_for_each_entry(link, &links, list) {
		/* one that is being removed waits for its last answer only */
		if (READ_ONCE(link->dying))
			continue;
		tbib_link_get_info(link, &info);
		fn(&info, arg);
	}
	spin_unlock(&links_lock);
}
