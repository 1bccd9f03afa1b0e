// SPDX-License-Identifier: GPL-2.0-only
/*
 * Login messages and the session of one cable (login.h, design D5).
 *
 * An encoded login, big endian. What stands before offset 64 keeps its place in
 * every version, so that a refusal can name who is refused.
 *
 *	offset size field
 *	 0     4    TBIB_LOGIN_MAGIC
 *	 4     2    version
 *	 6     1    type (enum tbib_login_type)
 *	 7     1    status (enum tbib_login_status)
 *	 8     4    features
 *	12     1    number of ring pairs
 *	13     1    flags: bit 0 = ready
 *	14     2    zero
 *	16     8    node GUID
 *	24    16    sender's router UUID
 *	40    16    receiver's router UUID
 *	56     8    boot nonce
 *	64     4    session
 *	68     4    peer session
 *	72     4    cookie
 *	76     4    zero
 *	80     8    HopID of each ring pair
 *	88     8    first credit limit of each ring pair
 *	96     4    lanes of each ring pair
 *	100   32    zero
 *	132    4    CRC32C of all before
 */
#include "login.h"
#include "trunk.h"

#define LOGIN_CRC	(TBIB_LOGIN_LEN - 4)
#define LOGIN_READY	0x01
#define LOGIN_CRC_SEED	0xffffffffu

/* Path HopIDs below 8 are reserved, and a HopID has 11 bits (USB4). */
#define HOPID_MIN	8
#define HOPID_MAX	0x7ff

#define MS		1000000ull
#define BACKOFF_MIN	(100 * MS)
#define BACKOFF_BYE	(1000 * MS)	/* the peer said that it leaves */
#define BACKOFF_MAX	(5000 * MS)

void tbib_login_encode(u8 *buf, const struct tbib_login *l)
{
	unsigned int i;

	memset(buf, 0, TBIB_LOGIN_LEN);
	tbib_put32(buf, TBIB_LOGIN_MAGIC);
	tbib_put16(buf + 4, l->version);
	buf[6] = l->type;
	buf[7] = l->status;
	tbib_put32(buf + 8, l->features);
	buf[12] = l->n_ring;
	buf[13] = l->ready ? LOGIN_READY : 0;
	tbib_put64(buf + 16, l->node_guid);
	memcpy(buf + 24, l->uuid, 16);
	memcpy(buf + 40, l->peer_uuid, 16);
	tbib_put64(buf + 56, l->boot_nonce);
	tbib_put32(buf + 64, l->session);
	tbib_put32(buf + 68, l->peer_session);
	tbib_put32(buf + 72, l->cookie);
	for (i = 0; i < TBIB_LINK_RINGS; i++) {
		tbib_put16(buf + 80 + 2 * i, l->hopid[i]);
		tbib_put16(buf + 88 + 2 * i, l->limit[i]);
		buf[96 + i] = l->lanes[i];
	}
	tbib_put32(buf + LOGIN_CRC,
		   tbib_crc32c(LOGIN_CRC_SEED, buf, LOGIN_CRC));
}

static bool rings_ok(const struct tbib_login *l)
{
	unsigned int i;

	if (l->n_ring > TBIB_LINK_RINGS || (l->ready && !l->n_ring))
		return false;
	for (i = 0; i < l->n_ring; i++) {
		if (l->hopid[i] < HOPID_MIN || l->hopid[i] > HOPID_MAX)
			return false;
		if (!l->lanes[i] || l->lanes[i] >= 1 << TBIB_LANES)
			return false;
		/* on a smaller ring a full train would never fit */
		if (l->limit[i] < TBIB_RING_LIMIT_MIN)
			return false;
	}
	return true;
}

enum tbib_login_status tbib_login_decode(const u8 *buf, u32 len,
					 struct tbib_login *l)
{
	unsigned int i;

	memset(l, 0, sizeof(*l));
	if (len < TBIB_LOGIN_LEN || tbib_get32(buf) != TBIB_LOGIN_MAGIC)
		return TBIB_LOGIN_BAD;

	l->version = tbib_get16(buf + 4);
	l->type = buf[6];
	l->status = buf[7];
	l->node_guid = tbib_get64(buf + 16);
	memcpy(l->uuid, buf + 24, 16);
	memcpy(l->peer_uuid, buf + 40, 16);
	l->boot_nonce = tbib_get64(buf + 56);
	if (l->version != TBIB_LOGIN_VERSION)
		return TBIB_LOGIN_BAD_VERSION;
	if (tbib_get32(buf + LOGIN_CRC) !=
	    tbib_crc32c(LOGIN_CRC_SEED, buf, LOGIN_CRC))
		return TBIB_LOGIN_BAD;

	l->features = tbib_get32(buf + 8);
	l->n_ring = buf[12];
	l->ready = buf[13] & LOGIN_READY;
	l->session = tbib_get32(buf + 64);
	l->peer_session = tbib_get32(buf + 68);
	l->cookie = tbib_get32(buf + 72);
	for (i = 0; i < TBIB_LINK_RINGS; i++) {
		l->hopid[i] = tbib_get16(buf + 80 + 2 * i);
		l->limit[i] = tbib_get16(buf + 88 + 2 * i);
		l->lanes[i] = buf[96 + i];
	}
	if (l->type < TBIB_LOGIN_REQUEST || l->type > TBIB_LOGOUT ||
	    l->status > TBIB_LOGIN_BAD || !l->session || !rings_ok(l))
		return TBIB_LOGIN_BAD;
	return TBIB_LOGIN_OK;
}

/* ---- the machine ----------------------------------------------------- */

static const char *const state_name[TBIB_LINK_STATES] = {
	[TBIB_LINK_DOWN]	= "down",
	[TBIB_LINK_LOGIN]	= "login",
	[TBIB_LINK_PATHS]	= "paths",
	[TBIB_LINK_UP]		= "up",
	[TBIB_LINK_REFUSED]	= "refused",
};

const char *tbib_link_state_name(u8 state)
{
	return state < TBIB_LINK_STATES ? state_name[state] : "?";
}

/* Ask again after the present back-off, and wait twice as long next time. */
static void retry_later(struct tbib_link_fsm *f, u64 now)
{
	f->deadline = now + f->backoff;
	f->backoff *= 2;
	if (f->backoff > BACKOFF_MAX)
		f->backoff = BACKOFF_MAX;
}

/* Back to LOGIN; the host chooses session and cookie, and then asks. */
static u32 login_again(struct tbib_link_fsm *f, u64 now, u64 wait)
{
	f->state = TBIB_LINK_LOGIN;
	f->answered = false;
	f->backoff = wait ? wait : BACKOFF_MIN;
	if (wait) {
		retry_later(f, now);
		return TBIB_LA_NEW_SESSION;
	}
	f->deadline = 0;
	return TBIB_LA_NEW_SESSION | TBIB_LA_REQUEST;
}

/* What taking the link down means in the present state. */
static u32 down_actions(const struct tbib_link_fsm *f)
{
	if (f->state == TBIB_LINK_UP)
		return TBIB_LA_REPORT_DOWN | TBIB_LA_PATHS_DOWN;
	if (f->state == TBIB_LINK_PATHS)
		return TBIB_LA_PATHS_DOWN;
	return 0;
}

static enum tbib_login_status verdict(const struct tbib_link_fsm *f,
				      const struct tbib_login *msg)
{
	if (msg->status == TBIB_LOGIN_BAD_VERSION ||
	    msg->status == TBIB_LOGIN_SAME_GUID)
		return msg->status;
	if (msg->version != TBIB_LOGIN_VERSION)
		return TBIB_LOGIN_BAD_VERSION;
	if (msg->node_guid == f->mine.node_guid)
		return TBIB_LOGIN_SAME_GUID;
	return TBIB_LOGIN_OK;
}

/* Refuse, but go on asking: the peer may be upgraded, or get another GUID. */
static u32 refuse(struct tbib_link_fsm *f, enum tbib_login_status why, u64 now)
{
	u32 act = down_actions(f);

	if (f->state != TBIB_LINK_REFUSED || f->refused != why)
		act |= TBIB_LA_REFUSE;
	if (f->state == TBIB_LINK_PATHS || f->state == TBIB_LINK_UP)
		act |= TBIB_LA_NEW_SESSION;
	f->state = TBIB_LINK_REFUSED;
	f->refused = why;
	f->answered = false;
	f->backoff = BACKOFF_MAX;
	retry_later(f, now);
	return act;
}

/* The peer is ready, and has seen the session that we are in. */
static bool agreed(const struct tbib_link_fsm *f, const struct tbib_login *msg)
{
	return msg->status == TBIB_LOGIN_OK && msg->ready && f->mine.ready &&
	       msg->peer_session == f->mine.session;
}

static u32 go_paths(struct tbib_link_fsm *f)
{
	f->state = TBIB_LINK_PATHS;
	f->refused = TBIB_LOGIN_OK;
	f->answered = true;
	f->deadline = 0;
	return TBIB_LA_PATHS_UP;
}

typedef u32 event_fn(struct tbib_link_fsm *f, const struct tbib_login *msg,
		     u64 now);

static u32 on_peer(struct tbib_link_fsm *f, const struct tbib_login *msg,
		   u64 now)
{
	f->have_peer = true;
	return login_again(f, now, 0);
}

static u32 on_gone(struct tbib_link_fsm *f, const struct tbib_login *msg,
		   u64 now)
{
	u32 act = down_actions(f) | TBIB_LA_LOGOUT;

	f->have_peer = false;
	f->answered = false;
	f->state = TBIB_LINK_DOWN;
	f->refused = TBIB_LOGIN_OK;
	f->deadline = 0;
	memset(&f->peer, 0, sizeof(f->peer));
	return act;
}

static u32 on_response(struct tbib_link_fsm *f, const struct tbib_login *msg,
		       u64 now)
{
	enum tbib_login_status why = verdict(f, msg);
	/*
	 * An answer may have been overtaken by a request of the peer's next
	 * session: another session than the one we know is asked for again.
	 */
	bool sure = !f->peer.session || f->peer.session == msg->session;

	f->heard_at = now;
	f->peer = *msg;
	if (why != TBIB_LOGIN_OK)
		return refuse(f, why, now);
	if (agreed(f, msg) && sure)
		return go_paths(f);
	f->state = TBIB_LINK_LOGIN;
	if (agreed(f, msg)) {
		f->deadline = 0;
		return TBIB_LA_REQUEST;
	}
	retry_later(f, now);
	return 0;
}

static u32 on_no_answer(struct tbib_link_fsm *f, const struct tbib_login *msg,
			u64 now)
{
	retry_later(f, now);
	return 0;
}

/* A request while we are asking ourselves: both orders must converge. */
static u32 on_request(struct tbib_link_fsm *f, const struct tbib_login *msg,
		      u64 now)
{
	enum tbib_login_status why = verdict(f, msg);
	bool news = msg->session != f->peer.session ||
		    msg->ready != f->peer.ready ||
		    f->state == TBIB_LINK_REFUSED;

	f->heard_at = now;
	f->peer = *msg;
	if (why != TBIB_LOGIN_OK)
		return refuse(f, why, now);
	if (agreed(f, msg))
		return go_paths(f);
	f->state = TBIB_LINK_LOGIN;
	if (!news)
		return 0;
	/* two ends without rings agree on nothing: each tries by its own timer */
	if (!msg->ready && !f->mine.ready)
		return 0;
	f->backoff = BACKOFF_MIN;
	f->deadline = 0;
	return TBIB_LA_REQUEST;
}

/* A request in PATHS or UP: harmless unless the peer has begun a new session. */
static u32 on_request_up(struct tbib_link_fsm *f, const struct tbib_login *msg,
			 u64 now)
{
	enum tbib_login_status why = verdict(f, msg);
	u32 act;

	f->heard_at = now;
	if (why != TBIB_LOGIN_OK) {
		f->peer = *msg;
		return refuse(f, why, now);
	}
	if (msg->session == f->peer.session &&
	    msg->boot_nonce == f->peer.boot_nonce &&
	    msg->node_guid == f->peer.node_guid)
		return 0;
	act = down_actions(f);
	f->peer = *msg;
	return act | login_again(f, now, 0);
}

static u32 on_logout(struct tbib_link_fsm *f, const struct tbib_login *msg,
		     u64 now)
{
	u32 act = down_actions(f);

	memset(&f->peer, 0, sizeof(f->peer));
	if (!act) {
		/* still asking: only ask more slowly */
		f->backoff = BACKOFF_BYE;
		retry_later(f, now);
		return 0;
	}
	return act | login_again(f, now, BACKOFF_BYE);
}

static u32 on_paths_ok(struct tbib_link_fsm *f, const struct tbib_login *msg,
		       u64 now)
{
	f->state = TBIB_LINK_UP;
	f->heard_at = now;
	f->backoff = BACKOFF_MIN;
	return TBIB_LA_REPORT_UP;
}

/* Also when the fabric refused the link: the wait keeps growing. */
static u32 on_paths_fail(struct tbib_link_fsm *f, const struct tbib_login *msg,
			 u64 now)
{
	u32 act = down_actions(f);

	return act | login_again(f, now, f->backoff);
}

static u32 on_silent(struct tbib_link_fsm *f, const struct tbib_login *msg,
		     u64 now)
{
	u32 act = down_actions(f);

	return act | login_again(f, now, 0);
}

static u32 on_timer(struct tbib_link_fsm *f, const struct tbib_login *msg,
		    u64 now)
{
	f->deadline = 0;
	/* rings could not be had last time: try that first */
	if (!f->mine.ready)
		return TBIB_LA_NEW_SESSION | TBIB_LA_REQUEST;
	return TBIB_LA_REQUEST;
}

/* An empty field: the event means nothing in that state. */
static event_fn *const transition[TBIB_LINK_STATES][TBIB_LE_EVENTS] = {
	[TBIB_LINK_DOWN] = {
		[TBIB_LE_PEER]		= on_peer,
	},
	[TBIB_LINK_LOGIN] = {
		[TBIB_LE_GONE]		= on_gone,
		[TBIB_LE_RESPONSE]	= on_response,
		[TBIB_LE_NO_ANSWER]	= on_no_answer,
		[TBIB_LE_REQUEST]	= on_request,
		[TBIB_LE_LOGOUT]	= on_logout,
		[TBIB_LE_SILENT]	= on_silent,
		[TBIB_LE_TIMER]		= on_timer,
	},
	[TBIB_LINK_PATHS] = {
		[TBIB_LE_GONE]		= on_gone,
		[TBIB_LE_REQUEST]	= on_request_up,
		[TBIB_LE_LOGOUT]	= on_logout,
		[TBIB_LE_PATHS_OK]	= on_paths_ok,
		[TBIB_LE_PATHS_FAIL]	= on_paths_fail,
		[TBIB_LE_SILENT]	= on_silent,
	},
	[TBIB_LINK_UP] = {
		[TBIB_LE_GONE]		= on_gone,
		[TBIB_LE_REQUEST]	= on_request_up,
		[TBIB_LE_LOGOUT]	= on_logout,
		[TBIB_LE_PATHS_FAIL]	= on_paths_fail,
		[TBIB_LE_SILENT]	= on_silent,
	},
	[TBIB_LINK_REFUSED] = {
		[TBIB_LE_GONE]		= on_gone,
		[TBIB_LE_RESPONSE]	= on_response,
		[TBIB_LE_NO_ANSWER]	= on_no_answer,
		[TBIB_LE_REQUEST]	= on_request,
		[TBIB_LE_LOGOUT]	= on_logout,
		[TBIB_LE_SILENT]	= on_silent,
		[TBIB_LE_TIMER]		= on_timer,
	},
};

void tbib_link_fsm_init(struct tbib_link_fsm *f)
{
	memset(f, 0, sizeof(*f));
	f->state = TBIB_LINK_DOWN;
	f->backoff = BACKOFF_MIN;
}

u32 tbib_link_event(struct tbib_link_fsm *f, enum tbib_link_event ev,
		    const struct tbib_login *msg, u64 now)
{
	event_fn *fn;

	if (f->state >= TBIB_LINK_STATES || ev >= TBIB_LE_EVENTS)
		return 0;
	fn = transition[f->state][ev];
	if (!fn)
		return 0;
	if (!msg && (ev == TBIB_LE_RESPONSE || ev == TBIB_LE_REQUEST))
		return 0;
	return fn(f, msg, now);
}

void tbib_link_answer(const struct tbib_link_fsm *f, struct tbib_login *out)
{
	*out = f->mine;
	out->type = TBIB_LOGIN_RESPONSE;
	out->peer_session = f->peer.session;
	if (f->state == TBIB_LINK_REFUSED)
		out->status = f->refused;
	else if (!f->mine.ready)
		out->status = TBIB_LOGIN_AGAIN;
	else
		out->status = TBIB_LOGIN_OK;
}
