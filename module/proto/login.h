/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Login of a cable's two ends (design D5): messages and a level-triggered,
 * idempotent state machine. The host carries the messages (XDomain packets)
 * and does what the machine asks for.
 */
#ifndef TBIB_PROTO_LOGIN_H
#define TBIB_PROTO_LOGIN_H

#include "frame.h"

#define TBIB_LOGIN_MAGIC	0x74626962	/* "tbib" */
#define TBIB_LOGIN_VERSION	1
#define TBIB_LINK_RINGS		4	/* ring pairs of one link, at most */
#define TBIB_LOGIN_LEN		136	/* bytes of an encoded login */

enum tbib_login_type {
	TBIB_LOGIN_REQUEST	= 1,
	TBIB_LOGIN_RESPONSE	= 2,
	TBIB_LOGOUT		= 3,
};

enum tbib_login_status {
	TBIB_LOGIN_OK = 0,
	TBIB_LOGIN_AGAIN,	/* not ready yet, ask again */
	TBIB_LOGIN_BAD_VERSION,
	TBIB_LOGIN_SAME_GUID,	/* two nodes with one GUID */
	TBIB_LOGIN_BAD,		/* malformed */
};

/**
 * struct tbib_login - what each side says of itself; host order
 * @uuid: sender's router UUID, @peer_uuid: the receiver's as the sender sees it
 * @boot_nonce: random at module load and with a new GUID; both nonces name the
 *	trunk epoch
 * @session: random per attempt of bring-up; a change means "start again"
 * @peer_session: the newest session seen from the receiver, 0 = none
 * @cookie: what the receiver of this message must put into frame headers
 * @hopid: HopID on which the sender will transmit, for each ring pair
 * @limit: first credit limit for each ring pair
 * @lanes: bit per lane for each ring pair
 * @ready: the sender's rings are started and have buffers
 */
struct tbib_login {
	u8 type;
	u8 status;
	u16 version;
	u32 features;
	u64 node_guid;
	u8 uuid[16];
	u8 peer_uuid[16];
	u64 boot_nonce;
	u32 session;
	u32 peer_session;
	u32 cookie;
	u8 n_ring;
	bool ready;
	u16 hopid[TBIB_LINK_RINGS];
	u16 limit[TBIB_LINK_RINGS];
	u8 lanes[TBIB_LINK_RINGS];
};

/** tbib_login_encode() - @buf has TBIB_LOGIN_LEN bytes; includes a CRC32C */
void tbib_login_encode(u8 *buf, const struct tbib_login *l);
/**
 * tbib_login_decode() - check and read a login
 * Return: TBIB_LOGIN_OK, _BAD, or _BAD_VERSION: then only version, type,
 * status, node_guid, uuids and boot_nonce have been read.
 */
enum tbib_login_status tbib_login_decode(const u8 *buf, u32 len,
					 struct tbib_login *l);

enum tbib_link_state {
	TBIB_LINK_DOWN,		/* no peer, or given up until something changes */
	TBIB_LINK_LOGIN,	/* exchanging logins */
	TBIB_LINK_PATHS,	/* both agree: host enables paths */
	TBIB_LINK_UP,
	TBIB_LINK_REFUSED,	/* loudly: version or GUID */
	TBIB_LINK_STATES,
};

enum tbib_link_event {
	TBIB_LE_PEER,		/* XDomain service appeared */
	TBIB_LE_GONE,		/* it went */
	TBIB_LE_RESPONSE,	/* our request was answered, with any status */
	TBIB_LE_NO_ANSWER,	/* request failed or timed out */
	TBIB_LE_REQUEST,	/* the peer's (new) request arrived */
	TBIB_LE_LOGOUT,		/* peer said logout / BYE */
	TBIB_LE_PATHS_OK,
	TBIB_LE_PATHS_FAIL,
	TBIB_LE_SILENT,		/* keepalive: nothing heard for too long */
	TBIB_LE_TIMER,
	TBIB_LE_EVENTS,
};

/* what the host has to do after an event: bits */
#define TBIB_LA_REQUEST		0x01	/* send a login request (worker) */
#define TBIB_LA_PATHS_UP	0x02	/* enable paths with the peer's HopIDs */
#define TBIB_LA_PATHS_DOWN	0x04	/* disable paths; keep rings */
#define TBIB_LA_REPORT_UP	0x08	/* tell the fabric: link is up */
#define TBIB_LA_REPORT_DOWN	0x10	/* tell the fabric: link is down */
#define TBIB_LA_LOGOUT		0x20	/* send a logout */
#define TBIB_LA_REFUSE		0x40	/* say loudly why (status) */
#define TBIB_LA_NEW_SESSION	0x80	/* choose a new session and cookie */

/**
 * struct tbib_link_fsm - one cable's session
 * @deadline: when TBIB_LE_TIMER is due, ns, 0 = none; requests are repeated
 * with back-off 100 ms .. 5 s for as long as the peer is there
 */
struct tbib_link_fsm {
	u8 state;		/* enum tbib_link_state */
	u8 refused;		/* enum tbib_login_status */
	bool have_peer;
	bool answered;		/* peer has answered our current session */
	struct tbib_login mine;
	struct tbib_login peer;
	u64 deadline;
	u64 backoff;
	u64 heard_at;
};

void tbib_link_fsm_init(struct tbib_link_fsm *f);

/**
 * tbib_link_event() - run the transition table
 * @msg: the peer's login for REQUEST, RESPONSE and LOGOUT, else NULL
 * Return: TBIB_LA_* bits, to be done in this order: REFUSE, REPORT_DOWN, LOGOUT,
 * PATHS_DOWN, NEW_SESSION, REQUEST, PATHS_UP (answer by PATHS_OK or _FAIL),
 * REPORT_UP (a refusal by the fabric is PATHS_FAIL). Every request sent is
 * followed by RESPONSE or NO_ANSWER.
 */
u32 tbib_link_event(struct tbib_link_fsm *f, enum tbib_link_event ev,
		    const struct tbib_login *msg, u64 now);

/** tbib_link_answer() - build the response to a request, after its event */
void tbib_link_answer(const struct tbib_link_fsm *f, struct tbib_login *out);

const char *tbib_link_state_name(u8 state);

#endif
