// SPDX-License-Identifier: GPL-2.0-only
/*
 * Logins over the control channel: XDomain messages of our own protocol.
 *
 *	dword 0-1  route, bit 63 set by the receiver's router
 *	dword 2    length of what follows in dwords, sequence number
 *	dword 3-6  TBIB_PROTOCOL_UUID
 *	dword 7-   an encoded login (proto/login.h)
 *
 * The channel swaps dwords, and a login is bytes: so it is put into dwords in
 * big endian, and the wire carries the bytes in order.
 *
 * Everything goes as an XDomain response packet, as thunderbolt_net's messages
 * do: every connection manager passes those on.
 *
 * Nothing of our UUID is left to the core to match. It would look for the
 * request of a packet by route and UUID only, and takes a response that is being
 * sent for one: an answer that comes twice or late would complete what it had
 * nothing to do with, whose memory tb_cfg_request() then uses after it was freed
 * (docs/thunderbolt.md).
 */
#include <linux/atomic.h>
#include <linux/unaligned.h>
#include <linux/wait.h>
#include "internal.h"

#define MSG_HEADER	28			/* bytes in front of the login */
#define MSG_BYTES	(MSG_HEADER + TBIB_LOGIN_LEN)
#define MSG_MAX		256			/* largest control packet */
#define LENGTH_MASK	0x3fu
#define SN_MASK		(3u << 27)
#define SN_SHIFT	27

#define ASK_TIMEOUT	200			/* ms */
#define LOGOUT_TIMEOUT	300

/* 3f6a47d0-57e2-4d2c-9d1c-7a1b3c74bb1b */
static const uuid_t tbib_protocol_uuid =
	UUID_INIT(0x3f6a47d0, 0x57e2, 0x4d2c,
		  0x9d, 0x1c, 0x7a, 0x1b, 0x3c, 0x74, 0xbb, 0x1b);

static atomic_t in_callback = ATOMIC_INIT(0);
static DECLARE_WAIT_QUEUE_HEAD(callback_left);

static_assert(TBIB_LOGIN_LEN % 4 == 0);
static_assert(MSG_BYTES <= MSG_MAX);

static void encode(u32 *msg, u64 route, u32 sn, const struct tbib_login *l)
{
	u8 buf[TBIB_LOGIN_LEN];
	unsigned int i;

	tbib_login_encode(buf, l);
	memset(msg, 0, MSG_MAX);
	msg[0] = upper_32_bits(route);
	msg[1] = lower_32_bits(route);
	msg[2] = (MSG_BYTES - 12) / 4 | (sn & SN_MASK);
	memcpy(&msg[3], &tbib_protocol_uuid, sizeof(tbib_protocol_uuid));
	for (i = 0; i < TBIB_LOGIN_LEN / 4; i++)
		msg[7 + i] = get_unaligned_be32(buf + 4 * i);
}

/* @msg holds @size bytes that anybody may have written. */
static enum tbib_login_status decode(const u32 *msg, size_t size,
				     struct tbib_login *l)
{
	u8 buf[TBIB_LOGIN_LEN];
	unsigned int i;

	if (size < MSG_BYTES ||
	    (msg[2] & LENGTH_MASK) < (MSG_BYTES - 12) / 4 ||
	    memcmp(&msg[3], &tbib_protocol_uuid, sizeof(tbib_protocol_uuid)))
		return TBIB_LOGIN_BAD;
	for (i = 0; i < TBIB_LOGIN_LEN / 4; i++)
		put_unaligned_be32(msg[7 + i], buf + 4 * i);
	return tbib_login_decode(buf, sizeof(buf), l);
}

static void receive(const u32 *msg, size_t size)
{
	struct tbib_login l;
	u64 route;

	switch (decode(msg, size, &l)) {
	case TBIB_LOGIN_OK:
		break;
	case TBIB_LOGIN_BAD_VERSION:
		/* told to the machine by its version; it refuses */
		if (l.type == TBIB_LOGIN_REQUEST ||
		    l.type == TBIB_LOGIN_RESPONSE)
			break;
		return;
	default:
		return;
	}
	route = ((u64)msg[0] << 32 | msg[1]) & ~BIT_ULL(63);
	tbib_links_deliver(&l, route, msg[2] & SN_MASK);
}

/*
 * Runs in the worker of the control channel's ring: whatever waits for the
 * channel or for tb->lock would wait for ever here. Only queues.
 * Return: 1, the core shall do nothing more with it.
 */
static int callback(const void *buf, size_t size, void *data)
{
	atomic_inc(&in_callback);
	receive(buf, size);
	if (atomic_dec_and_test(&in_callback))
		wake_up(&callback_left);
	return 1;
}

static struct tb_protocol_handler handler = {
	.uuid = &tbib_protocol_uuid,
	.callback = callback,
};

/*
 * As a request that times out at once, as nothing that could answer it is left
 * to the core: so the core is done with it, and with @msg, on return. After
 * tb_xdomain_response() it still looks at both for a while. 0 is an ERROR packet
 * of whatever. May sleep.
 */
static int send(struct tbib_link *link, const u32 *msg)
{
	static u32 unread;
	int ret;

	ret = tb_xdomain_request(link->xd, msg, MSG_BYTES,
				 TB_CFG_PKG_XDOMAIN_RESP, &unread,
				 sizeof(unread), TB_CFG_PKG_XDOMAIN_RESP, 0);
	return ret == -ETIMEDOUT ? 0 : ret;
}

static u32 sn_of(u32 n)
{
	return (n << SN_SHIFT) & SN_MASK;
}

/*
 * One question and its answer; one at a time for each link. May sleep.
 * Return: whether the peer has answered.
 */
static bool request(struct tbib_link *link, const struct tbib_login *ask,
		    struct tbib_login *answer, u32 sn, unsigned int timeout)
{
	encode(link->question, link->route, sn, ask);
	tbib_inbox_expect(&link->inbox, sn);
	if (send(link, link->question))
		timeout = 0;
	return tbib_inbox_wait(&link->inbox, timeout, answer);
}

/**
 * tbib_login_ask() - send a login request, wait, tell the machine
 * @work: asking of a link
 */
void tbib_login_ask(struct work_struct *work)
{
	struct tbib_link *link = container_of(work, struct tbib_link, asking);
	struct tbib_login ask, answer;
	bool over, answered;

	mutex_lock(&link->mutex);
	ask = link->fsm.mine;
	ask.type = TBIB_LOGIN_REQUEST;
	ask.peer_session = link->fsm.peer.session;
	over = link->dying || link->suspended;
	mutex_unlock(&link->mutex);
	if (over)
		return;

	answered = request(link, &ask, &answer, sn_of(ask.session),
			   ASK_TIMEOUT);
	tbib_inbox_outcome(&link->inbox, answered ? &answer : NULL);
	tbib_link_kick(link);
}

/**
 * tbib_login_answer() - answer the peer; the mutex is held
 * @link: the cable
 * @sn: sequence bits of what is answered
 */
void tbib_login_answer(struct tbib_link *link, u32 sn)
{
	struct tbib_login l;

	tbib_link_answer(&link->fsm, &l);
	encode(link->answer, link->route, sn, &l);
	/* if it gets lost, the peer asks again */
	send(link, link->answer);
}

/**
 * tbib_login_logout() - have the peer stop sending before paths go
 * @link: the cable
 *
 * It answers when it has stopped. @link->mutex is held, nothing else is asked.
 */
void tbib_login_logout(struct tbib_link *link)
{
	struct tbib_login ask = link->fsm.mine, answer;

	if (READ_ONCE(link->xd->is_unplugged) || !ask.session)
		return;
	ask.type = TBIB_LOGOUT;
	ask.ready = false;
	ask.n_ring = 0;
	/* what answers a login of this session late is no answer to this */
	request(link, &ask, &answer, sn_of(ask.session + 1), LOGOUT_TIMEOUT);
}

/** tbib_login_init() - listen for the peers' requests */
int tbib_login_init(void)
{
	return tb_register_protocol_handler(&handler);
}

/** tbib_login_exit() - no callback runs after it returns */
void tbib_login_exit(void)
{
	tb_unregister_protocol_handler(&handler);
	/* unregistering does not wait for those that run */
	wait_event(callback_left, !atomic_read(&in_callback));
	synchronize_rcu();
}
