/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the transport share: roles of a QP and their helpers.
 * Nothing outside module/proto includes this.
 */
#ifndef TBIB_PROTO_QP_INT_H
#define TBIB_PROTO_QP_INT_H

#include "qp.h"

#define TBIB_ACK_EVERY		64	/* packets between two AckReq, at most */
#define TBIB_READ_CHUNK		256	/* PSNs that one READ request asks for */
#define TBIB_RESP_RAW_SHARE	16	/* raw frames that responses may take of
					 * a train when requests wait */
#define TBIB_PROBE_MIN		1000000ull	/* ns, design section 4 */
#define TBIB_PROBE_FIRST	40000000ull	/* before SRTT is known */
#define TBIB_PROBE_SHIFT_MAX	6
#define TBIB_HOLD_NS		1000000ull	/* retry after "no page" */
#define TBIB_TIMER_SLACK	4	/* Tr..4*Tr is allowed, IBTA 9.7.6.1.3 */
#define TBIB_GSI_QPN		1
#define TBIB_GSI_QKEY		0x80010000u
#define TBIB_QKEY_OWN		0x80000000u	/* "use the QP's own", 10.2.5 */
#define TBIB_DEFAULT_PKEY	0xffff
#define TBIB_OP_MASK		0x1f
#define TBIB_SERVICE_MASK	0xe0

/* life of a WQE in the send queue */
enum tbib_wqe_state {
	TBIB_WS_NEW,
	TBIB_WS_ACTIVE,		/* has its PSNs */
	TBIB_WS_SENT,		/* UC/UD: all packets are in trains */
	TBIB_WS_DONE,		/* local operation executed */
	TBIB_WS_FAILED,		/* local error, waits for those before it */
};

/* what one step of a fill came to */
enum tbib_tx_step {
	TBIB_TX_NEXT,		/* a packet was appended, or a WQE passed */
	TBIB_TX_IDLE,		/* nothing may be sent now */
	TBIB_TX_FULL,		/* no room in this train */
	TBIB_TX_HELD,		/* host has no page, try again later */
};

/** struct tbib_wr_info - row of the table of work request types */
struct tbib_wr_info {
	const char *name;
	u8 services;		/* bit (service >> 5) */
	u8 kind;		/* enum tbib_wr_kind */
	u8 op[4];		/* opcode: middle, first, last, only */
};

enum tbib_wr_kind {
	TBIB_WK_DATA,		/* carries payload: SEND, WRITE */
	TBIB_WK_READ,
	TBIB_WK_ATOMIC,
	TBIB_WK_LOCAL,		/* executed by wqe_prepare, no packet */
};

extern const struct tbib_wr_info tbib_wr_info[TBIB_WR_OPS];

static inline struct tbib_wqe *tbib_sq_at(struct tbib_qp *qp, u32 index)
{
	return qp->req.slot(qp, index & qp->req.mask);
}

static inline u8 tbib_service_bit(const struct tbib_qp *qp)
{
	return (u8)(1u << (qp->service >> 5));
}

/* packets (PSNs) of @len bytes; no payload still takes one */
static inline u32 tbib_n_pkts(u32 len, u32 mtu)
{
	return len ? (len - 1) / mtu + 1 : 1;
}

static inline u16 tbib_qp_pkey(const struct tbib_qp *qp)
{
	return qp->attr.pkey ? qp->attr.pkey : TBIB_DEFAULT_PKEY;
}

/* payload bytes of a packet; the decoder has bounded hdr_len by inl_len */
static inline u32 tbib_payload_len(const struct tbib_bth *b,
				   const struct tbib_pkt *p)
{
	return p->inl_len - b->hdr_len + p->ool_len;
}

/* --- qp.c ---------------------------------------------------------------- */

/**
 * tbib_pkt_append() - append the headers of @b and room for @len payload bytes
 * @pre: bytes in front of the BTH (GRH), written by the caller
 * From TBIB_ZCOPY_MIN on the payload is out of line: the caller appends the
 * raw frames. Return: where @pre begins, or NULL when the train is full.
 */
u8 *tbib_pkt_append(struct tbib_train *t, const struct tbib_bth *b, u32 pre,
		    u32 len);

/**
 * tbib_pkt_payload_from() - payload of WQE @w from @off for a new packet
 * @dst: where inline payload goes
 * Return: as ops->gather_raw; unless TBIB_OK the packet is to be undone.
 */
u8 tbib_pkt_payload_from(struct tbib_qp *qp, const struct tbib_wqe *w,
			 u32 off, u32 len, u8 *dst, struct tbib_train *t);

/** tbib_qp_hold() - the host has no page: wait a little */
void tbib_qp_hold(struct tbib_qp *qp, u64 now);

/**
 * tbib_qp_to_err() - go to ERR, flush everything
 * @keep_answer: the NAK that says why, and READ responses before it, still go
 */
void tbib_qp_to_err(struct tbib_qp *qp, bool keep_answer);

/** tbib_sq_fail() - the oldest WQE ends with @status; ERR, or SQE for UC/UD */
void tbib_sq_fail(struct tbib_qp *qp, u8 status);

/** tbib_sq_complete() - the oldest WQE is done: CQE, release, next */
void tbib_sq_complete(struct tbib_qp *qp, u8 status);

/**
 * tbib_sq_reap() - complete, in order, what is done at the head of the queue
 */
void tbib_sq_reap(struct tbib_qp *qp);

/** tbib_recv_complete() - CQE for the receive WQE in use, which is released */
void tbib_recv_complete(struct tbib_qp *qp, struct tbib_cqe *cqe);

/* --- requester.c --------------------------------------------------------- */

/**
 * tbib_req_no_payload() - the host gave no payload for a packet of @w, which
 * was undone: wait for a page, or let the WQE fail with @status in its turn
 */
enum tbib_tx_step tbib_req_no_payload(struct tbib_qp *qp, struct tbib_wqe *w,
				      u8 status);
/** tbib_req_start() - prepare a new WQE and give it its PSNs */
enum tbib_tx_step tbib_req_start(struct tbib_qp *qp, struct tbib_wqe *w);
bool tbib_req_ready(const struct tbib_qp *qp);
enum tbib_tx_step tbib_req_fill(struct tbib_qp *qp, struct tbib_train *t,
				u64 now);
/** tbib_req_restart() - go back to the oldest unacked PSN */
void tbib_req_restart(struct tbib_qp *qp);
/** tbib_req_data() - append the SEND or WRITE packet of @w with @psn */
enum tbib_tx_step tbib_req_data(struct tbib_qp *qp, struct tbib_wqe *w,
				u32 psn, bool ack_req, struct tbib_train *t);

/* --- completer.c --------------------------------------------------------- */

void tbib_comp_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		  const struct tbib_pkt *pkt, u64 now);
/** tbib_comp_start() - the first unacked packet was sent: start timers */
void tbib_comp_start(struct tbib_qp *qp, u64 now);
void tbib_comp_timer(struct tbib_qp *qp, u64 now);

/* --- responder.c, resp_read.c -------------------------------------------- */

/** tbib_resp_rx() - a request packet. Return: as tbib_qp_rx() */
bool tbib_resp_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		  const struct tbib_pkt *pkt, u64 now);
bool tbib_resp_ready(const struct tbib_qp *qp);
enum tbib_tx_step tbib_resp_fill(struct tbib_qp *qp, struct tbib_train *t,
				 u32 raw_share);
/** tbib_resp_turn() - our side is about to send requests */
void tbib_resp_turn(struct tbib_qp *qp, u64 now);
void tbib_resp_timer(struct tbib_qp *qp, u64 now);

/**
 * struct tbib_resp_pkt - a request packet on its way through the responder
 * @flags: of its opcode; @len: payload bytes; @now: ns
 * @status, @nak: why it was refused: for the receive WQE, for the peer
 */
struct tbib_resp_pkt {
	const struct tbib_bth *b;
	const struct tbib_pkt *pkt;
	u32 flags;
	u32 len;
	u64 now;
	u8 status;
	u8 nak;
	bool plain;	/* placed, and nothing follows from it */
};

/** tbib_resp_len_ok() - payload length against MTU, position, RETH */
bool tbib_resp_len_ok(const struct tbib_qp *qp,
		      const struct tbib_resp_pkt *rp);
/**
 * tbib_resp_execute() - place payload, end the message when it is the last
 * A key is invalidated when its message is whole and the receiver is not yet
 * told, IBTA 9.4.1.1.
 * Return: TBIB_OK, or status of the host when memory went away or a key was
 *	not to be invalidated (TBIB_REM_ACCESS_ERR for a SEND).
 */
u8 tbib_resp_execute(struct tbib_qp *qp, const struct tbib_resp_pkt *rp);
/** tbib_resp_abort() - memory of the READ answered at @psn went away: NAK, ERR */
void tbib_resp_abort(struct tbib_qp *qp, u32 psn);
/** tbib_resp_drop_write() - forget the RDMA WRITE in progress */
void tbib_resp_drop_write(struct tbib_qp *qp);

/** tbib_rd_room() - may the peer have one more READ or atomic in flight? */
bool tbib_rd_room(struct tbib_qp *qp);
/** tbib_rd_add() - a new READ or atomic, active; there is room */
struct tbib_rd_res *tbib_rd_add(struct tbib_qp *qp);
/** tbib_rd_dup() - a repeated READ or atomic request */
void tbib_rd_dup(struct tbib_qp *qp, const struct tbib_bth *b);
/** tbib_rd_ack_limit() - how far an ACK may speak that repeats one for @psn */
u32 tbib_rd_ack_limit(const struct tbib_qp *qp, u32 psn);
bool tbib_rd_active(const struct tbib_qp *qp);
void tbib_rd_drop_all(struct tbib_qp *qp);
/** tbib_rd_fill() - append responses in PSN order */
enum tbib_tx_step tbib_rd_fill(struct tbib_qp *qp, struct tbib_train *t,
			       u32 raw_share);

/* --- uc.c, ud.c ---------------------------------------------------------- */

/** tbib_note_room() - can @t take a note for the WQE at @index? */
bool tbib_note_room(const struct tbib_qp *qp, u32 index,
		    const struct tbib_train *t);
/** tbib_note_add() - that WQE completes when the trunk has acked @t, too */
void tbib_note_add(struct tbib_qp *qp, u32 index, struct tbib_train *t);
enum tbib_tx_step tbib_uc_fill(struct tbib_qp *qp, struct tbib_train *t);
bool tbib_uc_ready(const struct tbib_qp *qp);
void tbib_uc_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		const struct tbib_pkt *pkt);
enum tbib_tx_step tbib_ud_fill(struct tbib_qp *qp, struct tbib_train *t,
			       void *ah);
void tbib_ud_rx(struct tbib_qp *qp, const struct tbib_bth *b,
		const struct tbib_pkt *pkt, u16 slid);

#endif
