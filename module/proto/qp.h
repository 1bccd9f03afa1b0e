/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Queue pairs as sans-I/O state machines: requester, completer and responder
 * of RC (and UC), and UD. Everything here runs under the host's lock of that
 * QP; nothing sleeps, allocates or reads a clock.
 *
 * The host
 *  - puts private copies of WQEs into the send queue (tbib_sq_slot/commit),
 *  - calls tbib_qp_fill() when the trunk has room: the QP appends packets,
 *  - calls tbib_qp_rx() for each packet that arrives for the QP,
 *  - calls tbib_qp_timer() when tbib_qp_deadline() has passed,
 *  - after each of these looks at tbib_qp_wants_tx() and, when it is true,
 *    puts the QP on its trunk's list of ready sources.
 *
 * "What a receive must answer" (ACK, NAK, READ response, atomic response) is
 * state of the QP that the next fill turns into packets: receive never waits
 * for room to send (design D4).
 */
#ifndef TBIB_PROTO_QP_H
#define TBIB_PROTO_QP_H

#include "deadline.h"
#include "opcode.h"
#include "train.h"

#define TBIB_MAX_SGE		32
#define TBIB_MAX_INLINE		512	/* bytes in a WQE, also TBIB_MAX_SGE * 16 */
#define TBIB_ACK_WAIT_MAX	1000000ull	/* ns that an ACK waits for company */
#define TBIB_MAX_RD_ATOMIC	16
#define TBIB_ZCOPY_MIN		2048	/* payload from here on goes out of line */
#define TBIB_MAX_MSG		0x80000000u
#define TBIB_PSN_WINDOW		512	/* unacked packets of one RC QP */

enum tbib_qp_state {	/* IBTA 10.3.1; same order as enum ib_qp_state */
	TBIB_QPS_RESET, TBIB_QPS_INIT, TBIB_QPS_RTR, TBIB_QPS_RTS,
	TBIB_QPS_SQD, TBIB_QPS_SQE, TBIB_QPS_ERR,
};

enum tbib_wr_op {
	TBIB_WR_SEND, TBIB_WR_SEND_IMM, TBIB_WR_SEND_INV,
	TBIB_WR_WRITE, TBIB_WR_WRITE_IMM, TBIB_WR_READ,
	TBIB_WR_CMP_SWAP, TBIB_WR_FETCH_ADD,
	TBIB_WR_LOCAL_INV, TBIB_WR_REG_MR, TBIB_WR_BIND_MW,
	TBIB_WR_ATOMIC_WRITE, TBIB_WR_FLUSH,
	TBIB_WR_OPS,
};

#define TBIB_WF_SIGNALED	0x01
#define TBIB_WF_FENCE		0x02
#define TBIB_WF_SOLICITED	0x04
#define TBIB_WF_INLINE		0x08	/* payload stands in the WQE */

enum tbib_status {	/* same order and meaning as enum ib_wc_status */
	TBIB_OK, TBIB_LOC_LEN_ERR, TBIB_LOC_QP_OP_ERR, TBIB_LOC_EEC_OP_ERR,
	TBIB_LOC_PROT_ERR, TBIB_FLUSH_ERR, TBIB_MW_BIND_ERR, TBIB_BAD_RESP_ERR,
	TBIB_LOC_ACCESS_ERR, TBIB_REM_INV_REQ_ERR, TBIB_REM_ACCESS_ERR,
	TBIB_REM_OP_ERR, TBIB_RETRY_EXC_ERR, TBIB_RNR_RETRY_EXC_ERR,
	TBIB_LOC_RDD_VIOL_ERR, TBIB_REM_INV_RD_REQ_ERR, TBIB_REM_ABORT_ERR,
	TBIB_INV_EECN_ERR, TBIB_INV_EEC_STATE_ERR, TBIB_FATAL_ERR,
	TBIB_RESP_TIMEOUT_ERR, TBIB_GENERAL_ERR,
	/* not a completion: the host has no page now, try again later */
	TBIB_NO_PAGE = 0xff,
};

/** struct tbib_sge - one entry of a gather/scatter list */
struct tbib_sge {
	u64 addr;
	u32 len;
	u32 lkey;
	void *mr;		/* host's reference, set by ops->wqe_prepare */
};

/** struct tbib_av - where a UD WQE goes */
struct tbib_av {
	void *ah;		/* host's address handle, with a reference */
	u32 qpn;
	u32 qkey;
};

/**
 * struct tbib_wqe - private copy of a send WQE, valid until completion
 * @length: sum of sge[].len, or bytes in inl[] (recomputed by the host)
 * Fields from @first_psn on belong to the requester and completer.
 */
struct tbib_wqe {
	u64 wr_id;
	u64 remote_addr;
	u64 compare, swap_add;	/* FLUSH: compare is the length of the range */
	u32 rkey;
	u32 imm;		/* host order; or rkey to invalidate, or FETH */
	u32 length;
	u8 op;			/* enum tbib_wr_op */
	u8 flags;		/* TBIB_WF_* */
	u8 n_sge;
	u8 status;		/* enum tbib_status */
	struct tbib_av av;
	void *host;		/* REG_MR, BIND_MW: what to register */

	u8 state;		/* enum tbib_wqe_state, qp_int.h */
	u8 prepared;
	u16 notes;		/* UC/UD: trunk acks still to come */
	u32 first_psn, last_psn;
	/* the gather list, or inline data; as much as the host chose */
	u64 tail[];
};

/** tbib_wqe_sge() - the gather list of @w, n_sge entries */
static inline struct tbib_sge *tbib_wqe_sge(const struct tbib_wqe *w)
{
	return (struct tbib_sge *)(unsigned long)w->tail;
}

/** tbib_wqe_inl() - payload that stands in @w itself (TBIB_WF_INLINE) */
static inline u8 *tbib_wqe_inl(const struct tbib_wqe *w)
{
	return (u8 *)(unsigned long)w->tail;
}

/** tbib_wqe_size() - bytes of a WQE with @n_sge entries or @n_inl bytes */
u32 tbib_wqe_size(u32 n_sge, u32 n_inl);

/** struct tbib_rwqe - private copy of the receive WQE in use */
struct tbib_rwqe {
	u64 wr_id;
	u32 length;
	u8 n_sge;
	bool prepared;
	void *srq;		/* for the host */
	struct tbib_sge sge[TBIB_MAX_SGE];
};

/** struct tbib_mem - a checked range of remote-accessible memory, referenced */
struct tbib_mem {
	void *mr;		/* NULL: none */
	void *mw;		/* for the host: by this window, or NULL */
	u64 binding;
	u64 va;
	u32 len;
	u32 rkey;
	u32 access;		/* for the host: that it was checked for */
};

#define TBIB_ACC_LOCAL_WRITE	0x1	/* same as enum ib_access_flags */
#define TBIB_ACC_REMOTE_WRITE	0x2
#define TBIB_ACC_REMOTE_READ	0x4
#define TBIB_ACC_REMOTE_ATOMIC	0x8
#define TBIB_ACC_FLUSH_GLOBAL	0x100
#define TBIB_ACC_FLUSH_PERSISTENT 0x200

/** struct tbib_cqe - a completion; the host turns it into its own form */
struct tbib_cqe {
	u64 wr_id;
	u8 status;		/* enum tbib_status */
	u8 op;			/* send side: enum tbib_wr_op of the WQE */
	bool recv;
	bool solicited;		/* counts for a solicited-only notify */
	bool imm_valid, inv_valid, grh_valid;
	bool write_imm;		/* recv side: by RDMA WRITE with immediate */
	u32 imm;		/* host order, or the invalidated rkey */
	u32 byte_len;
	u32 src_qp;		/* UD */
	u16 slid;		/* UD: SLID of the train */
	u8 ip_version;		/* UD: of the header in the GRH's place, 0 none */
};

enum tbib_atomic {
	TBIB_ATOMIC_ADD, TBIB_ATOMIC_CAS,
	TBIB_ATOMIC_STORE,	/* nothing is returned */
};

enum tbib_qp_event {
	TBIB_EV_COMM_EST, TBIB_EV_QP_FATAL, TBIB_EV_REQ_ERR,
	TBIB_EV_ACCESS_ERR, TBIB_EV_SQ_DRAINED, TBIB_EV_LAST_WQE,
};

enum tbib_fill {
	TBIB_FILL_IDLE,		/* nothing (more) to send now */
	TBIB_FILL_MORE,		/* train is full, call again with another */
};

struct tbib_qp;

/**
 * struct tbib_qp_ops - what a QP asks of its host, with the QP lock held
 * Memory may go away while a message is in progress; those that move bytes
 * return an enum tbib_status, and a message that is not whole never completes
 * as if it were.
 *
 * @wqe_prepare: resolve lkeys of @w to MRs and take references (AH for UD too)
 *	Return: enum tbib_status. Called once before the WQE's first packet;
 *	for LOCAL_INV, REG_MR and BIND_MW it executes the operation.
 * @wqe_release: drop what commit and wqe_prepare took; once for each WQE,
 *	also for one that was never prepared, before its CQE
 * @gather: copy @len bytes at message offset @off of @w to @dst
 *	Return: TBIB_OK or TBIB_LOC_PROT_ERR.
 * @gather_raw: append raw frames with these bytes to @t, at most 2 (zero copy
 *	where possible, else a bounce page). Return: as gather, or TBIB_NO_PAGE;
 *	nothing was appended unless TBIB_OK.
 * @grh: UD: write the 40-byte GRH for @w with @len payload bytes to @dst (the
 *	packet then carries TBIB_PF_GRH)
 * @scatter: READ and atomic responses: copy @p to message offset @off of @w
 *	(@last: end of the message; its last bytes become visible last)
 *	Return: as gather.
 * @recv_get: fetch the next receive WQE. Return: enum tbib_status;
 *	TBIB_RNR_RETRY_EXC_ERR means there is none. On another error the WQE
 *	is consumed, @r->wr_id is valid and there is nothing to release.
 * @recv_scatter: copy @p to offset @off of the receive WQE. Return: as gather.
 * @recv_release: drop what recv_get took
 * @mem_get: check rkey, range, access of @qp's PD; take a reference
 *	Return: TBIB_OK or TBIB_REM_ACCESS_ERR.
 * @mem_put: drop it
 * @mem_read, @mem_read_raw, @mem_write: as gather, gather_raw, scatter, but
 *	TBIB_REM_ACCESS_ERR when the memory has gone away
 * @mem_atomic: 8-byte atomic at the start of @m, also atomic to the CPU
 *	Return: status.
 * @invalidate: SEND with invalidate. Return: status.
 * @complete: add a CQE
 * @event: asynchronous event. LAST_WQE comes at every transition to ERR (the
 *	host drops it when the QP has no SRQ) and tells the host to flush its
 *	receives.
 */
struct tbib_qp_ops {
	u8 (*wqe_prepare)(struct tbib_qp *qp, struct tbib_wqe *w);
	void (*wqe_release)(struct tbib_qp *qp, struct tbib_wqe *w);
	u8 (*gather)(struct tbib_qp *qp, const struct tbib_wqe *w, u32 off,
		     u32 len, u8 *dst);
	u8 (*gather_raw)(struct tbib_qp *qp, const struct tbib_wqe *w, u32 off,
			 u32 len, struct tbib_train *t);
	void (*grh)(struct tbib_qp *qp, const struct tbib_wqe *w, u32 len,
		    u8 *dst);
	u8 (*scatter)(struct tbib_qp *qp, const struct tbib_wqe *w, u32 off,
		      const struct tbib_payload *p, bool last);
	u8 (*recv_get)(struct tbib_qp *qp, struct tbib_rwqe *r);
	u8 (*recv_scatter)(struct tbib_qp *qp, const struct tbib_rwqe *r,
			   u32 off, const struct tbib_payload *p, bool last);
	void (*recv_release)(struct tbib_qp *qp, struct tbib_rwqe *r);
	u8 (*mem_get)(struct tbib_qp *qp, u32 rkey, u64 va, u32 len, u32 access,
		      struct tbib_mem *m);
	void (*mem_put)(struct tbib_qp *qp, struct tbib_mem *m);
	u8 (*mem_read)(struct tbib_qp *qp, const struct tbib_mem *m, u32 off,
		       u32 len, u8 *dst);
	u8 (*mem_read_raw)(struct tbib_qp *qp, const struct tbib_mem *m,
			   u32 off, u32 len, struct tbib_train *t);
	u8 (*mem_write)(struct tbib_qp *qp, const struct tbib_mem *m, u32 off,
			const struct tbib_payload *p, bool last);
	u8 (*mem_atomic)(struct tbib_qp *qp, const struct tbib_mem *m,
			 enum tbib_atomic what, u64 swap_add, u64 compare,
			 u64 *orig);
	u8 (*invalidate)(struct tbib_qp *qp, u32 rkey);
	void (*complete)(struct tbib_qp *qp, const struct tbib_cqe *cqe);
	void (*event)(struct tbib_qp *qp, enum tbib_qp_event ev);
};

/** struct tbib_qp_attr - what modify_qp sets; host order */
struct tbib_qp_attr {
	u32 dest_qpn;
	u32 sq_psn, rq_psn;
	u32 mtu;		/* 256..4096 */
	u32 qkey;
	u16 pkey;
	u32 access;		/* TBIB_ACC_* for remote operations */
	u8 retry_cnt, rnr_retry;	/* 7 = for ever (rnr only) */
	u8 timeout;		/* exponent, 0 = none */
	u8 min_rnr_timer;
	u8 max_rd_atomic;	/* we send */
	u8 max_dest_rd_atomic;	/* we answer */
};

struct tbib_qp_stats {
	u64 send_pkts, recv_pkts, duplicate, out_of_seq, rnr_naks_sent,
	    rnr_naks_recv, naks_sent, naks_recv, seq_naks_sent, seq_naks_recv,
	    retries, timeouts, tail_probes, acks_deferred, sends;
};

/** struct tbib_req - requester: SQ WQEs to request packets */
struct tbib_req {
	struct tbib_wqe *(*slot)(struct tbib_qp *qp, u32 index);
	u32 mask;		/* slots - 1, a power of two */
	u32 prod;		/* committed by the host */
	u32 send;		/* WQE that is being sent */
	u32 cons;		/* oldest not completed (completer) */
	u32 psn;		/* next PSN to use */
	u32 una_psn;		/* oldest unacked PSN (completer) */
	u32 max_psn;		/* behind the highest PSN ever used */
	u32 rd_atomic;		/* READs and atomics in flight */
	bool draining;		/* SQD: SQ_DRAINED has not been told yet */
	bool rnr_wait;
	bool probe;		/* resend the last packet with AckReq */
	bool held;		/* no page for payload: wait for again_at */
	bool rtt_on;		/* rtt_psn is being timed */
	u8 note_gen;		/* UC/UD: notes of older queues are ignored */
	u32 since_ack_req;
	u32 rtt_psn;
	u64 rtt_at;
	u64 again_at;
};

/** struct tbib_comp - completer: responses to CQEs, retries, timers */
struct tbib_comp {
	u8 retries_left, rnr_left;
	u8 probe_shift;		/* probes since the last progress */
	u8 step;		/* last enum tbib_comp_step, for tracing */
	bool gap;		/* a response is missing, went back for it */
	bool not_ready;		/* the newest answer is an RNR NAK */
	u32 gap_psn;		/* newest response behind the gap */
	bool stalled;
	u64 stalled_at;
	u64 ack_deadline;	/* IBTA transport timer */
	u64 probe_deadline;
	u64 rnr_deadline;
	u64 srtt;		/* ns, 0 = not known yet */
};

/** struct tbib_rd_res - a READ or atomic that the responder answers */
struct tbib_rd_res {
	u8 kind;		/* 0 free, 1 READ, 2 atomic */
	bool active;		/* responses still to be sent */
	bool again;		/* asked for more than once */
	u32 first_psn, last_psn;	/* of the first request */
	u32 base_psn, end_psn;	/* of the newest one, maybe partial */
	u32 cur_psn;		/* next response */
	u32 msn;
	u32 len;		/* bytes from base_psn on */
	u64 orig;
	struct tbib_mem mem;
};

/** struct tbib_resp - responder: request packets to memory and answers */
struct tbib_resp {
	u32 epsn;
	u32 msn;
	bool have_rwqe;
	struct tbib_rwqe rwqe;
	struct tbib_mem mem;	/* RDMA WRITE in progress */
	u8 in_msg;		/* op class of the message in progress */
	u32 msg_off;		/* payload bytes placed */
	u32 msg_len;		/* WRITE: RETH length */
	bool nak_sent;		/* NAK sent for this gap already */
	bool rnr_sent;		/* the peer waits for its RNR timer */
	u32 oos_psn;		/* newest PSN seen behind the gap */
	u8 step;		/* last enum tbib_resp_step, for tracing */
	bool comm_est;
	/* the answer to be sent: ACK/NAK is cumulative, so one is enough */
	bool ack_pending;
	u8 ack_syndrome;
	u32 ack_psn;
	u64 ack_at;		/* it may wait for our next request till then */
	/* do messages of the peer and of ours take turns? */
	bool pingpong;
	bool turn;		/* a message came in, none of ours went since */
	u64 turn_at;
	struct tbib_rd_res rd[TBIB_MAX_RD_ATOMIC];
	u8 rd_head, rd_count;	/* ring in PSN order, newest before rd_head */
	u8 rd_active;		/* of them, those with responses to be sent */
};

/** struct tbib_qp - embedded in the host's QP */
struct tbib_qp {
	const struct tbib_qp_ops *ops;
	u32 qpn;
	u8 service;		/* enum tbib_service */
	u8 state;		/* enum tbib_qp_state */
	bool sq_sig_all;
	struct tbib_qp_attr attr;
	struct tbib_req req;
	struct tbib_comp comp;
	struct tbib_resp resp;
	struct tbib_qp_stats stats;
};

/**
 * tbib_qp_init() - RESET state
 * @slot: gives the WQE slot of an index (already masked)
 * @slots: power of two
 */
void tbib_qp_init(struct tbib_qp *qp, const struct tbib_qp_ops *ops, u32 qpn,
		  enum tbib_service service,
		  struct tbib_wqe *(*slot)(struct tbib_qp *qp, u32 index),
		  u32 slots);

/**
 * tbib_qp_modify() - legal transition to @state with @attr complete
 * The host has checked the transition (ib_modify_qp_is_ok). To ERR: flushes
 * the send queue and the receive WQE in use (the host flushes its own queue
 * of receives afterwards). To RESET: drops everything without completions.
 */
void tbib_qp_modify(struct tbib_qp *qp, enum tbib_qp_state state,
		    const struct tbib_qp_attr *attr);

/** tbib_sq_slot() - next free WQE, or NULL when the queue is full */
struct tbib_wqe *tbib_sq_slot(struct tbib_qp *qp);
/** tbib_sq_commit() - the slot is filled; in ERR it is flushed at once */
void tbib_sq_commit(struct tbib_qp *qp);

/** tbib_qp_wants_tx() - would tbib_qp_fill() send something? */
bool tbib_qp_wants_tx(const struct tbib_qp *qp);

/**
 * tbib_qp_fill() - append packets to @t while it has room
 * UD: only WQEs whose av.ah is @ah (the host opens the train for it and asks
 * tbib_qp_next_ah() first); RC and UC: @ah is ignored.
 */
enum tbib_fill tbib_qp_fill(struct tbib_qp *qp, struct tbib_train *t, void *ah,
			    u64 now);

/**
 * tbib_qp_next_ah() - UD: address handle of the next WQE to send, or NULL
 * Prepares that WQE; one that cannot be prepared is completed in error.
 */
void *tbib_qp_next_ah(struct tbib_qp *qp);

/**
 * tbib_qp_drop_ud() - UD: the next WQE cannot be routed: completed, not sent
 * Return: false when it was nothing to send: a local operation, or one that
 * failed
 */
bool tbib_qp_drop_ud(struct tbib_qp *qp);

/**
 * tbib_qp_unroutable() - there is no route to the peer now
 * UC and UD: the next WQE is completed, not sent. RC: what the QP wants to
 * send counts as lost, the transport timer runs until there is a route again
 * (call tbib_qp_fill() then) or the retries are used up.
 *
 * Return: true when a message of UC or UD was not sent
 */
bool tbib_qp_unroutable(struct tbib_qp *qp, u64 now);

/** tbib_qp_idle() - nothing unacked and nothing to answer: may change lane */
bool tbib_qp_idle(const struct tbib_qp *qp);

/**
 * tbib_qp_note() - UC/UD: the trunk acked a train with a note of this QP
 * @value: the note's value as the QP put it there (owner is the QP)
 */
void tbib_qp_note(struct tbib_qp *qp, void *value, bool delivered);

/**
 * tbib_qp_rx() - a packet for this QP; headers decoded, source checked
 * Return: false when nothing follows from it: no answer, no completion, no other
 * state and no new deadline. So it is with all but the last packets of large
 * messages that come.
 */
bool tbib_qp_rx(struct tbib_qp *qp, const struct tbib_bth *bth,
		const struct tbib_pkt *pkt, u16 slid, u64 now);

/** tbib_qp_recv_posted() - the host got receive WQEs (RQ or SRQ) */
void tbib_qp_recv_posted(struct tbib_qp *qp);

/** tbib_qp_deadline() - ns at which tbib_qp_timer() must run, 0 = none */
u64 tbib_qp_deadline(const struct tbib_qp *qp);
void tbib_qp_timer(struct tbib_qp *qp, u64 now);

/**
 * tbib_qp_answer() - an ACK or NAK that waits for company is due now
 * Before a QP goes: what it got may be the last message, whose sender would
 * else retry until it fails.
 *
 * Return: there is one, to be sent by tbib_qp_fill().
 */
bool tbib_qp_answer(struct tbib_qp *qp);

/**
 * tbib_qp_stalled() - the QP waits for room in its own trunk: freeze the
 * transport timer until the next fill (design section 4). Not for a QP that
 * has no route, see tbib_qp_unroutable().
 */
void tbib_qp_stalled(struct tbib_qp *qp, bool stalled, u64 now);

/** names of tbib_resp.step and tbib_comp.step, for tracing */
const char *tbib_resp_step_name(u8 step);
const char *tbib_comp_step_name(u8 step);

#endif
