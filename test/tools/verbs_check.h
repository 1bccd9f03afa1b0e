/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_check: every byte that RDMA moves is compared with what it must be.
 *
 * Two processes (or one that forks, over loopback) run the same list of steps.
 * All parameters of a step (operation, size, offsets, scatter lists) come from
 * a generator seeded with (seed, step), so both sides know them without
 * talking; a TCP connection carries addresses once and a barrier byte per step.
 */
#ifndef TBIB_TEST_VERBS_CHECK_H
#define TBIB_TEST_VERBS_CHECK_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stdint.h>

#define MAX_QP     64
#define MAX_PIECE  32        /* of a scatter list */
#define GUARD      64        /* bytes around each piece that must not change */
#define REGION     (5u << 20)
#define BACKGROUND 0xa5

struct options {
    const char *device;
    const char *peer; /* host name, or NULL for the server */
    int gid_index;    /* -1: the first RoCE v2 one of the family asked for */
    bool ipv6;
    enum ibv_qp_type type; /* of the connected QPs: RC or UC */
    enum ibv_mtu mtu;      /* path MTU of the connected QPs */
    int pieces;            /* of every scatter list, 0: drawn, few */
    uint32_t inline_size;
    int port;
    int qps;
    int steps;
    uint32_t max_size;
    uint64_t seed;
    bool self;    /* fork: both sides on this host */
    bool srq;     /* receives come from a shared queue */
    bool events;  /* wait for completions by channel */
    bool errors;  /* also provoke errors, at the end */
    bool verbose;
    const char *ops; /* comma separated, NULL: all */
};

/* what each side tells the other at the start */
struct hello {
    uint32_t qpn[MAX_QP];
    uint32_t psn;
    uint32_t ud_qpn;
    uint32_t rkey;
    uint64_t addr;
    uint8_t gid[16];
};

struct side {
    const struct options *opt;
    bool client;
    int tcp;
    struct ibv_context *ctx;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *cq;
    struct ibv_srq *srq;
    struct ibv_qp *qp[MAX_QP];
    struct ibv_qp *ud;
    struct ibv_ah *ah;
    struct ibv_mr *mr;
    uint8_t *buf;
    union ibv_gid gid;
    int gid_index;
    struct hello mine, peer;
    uint64_t bytes;  /* compared so far */
};

/* a scatter list: disjoint pieces of the region */
struct piece {
    uint32_t off, len;
};
struct layout {
    int n;
    uint32_t total;
    struct piece p[MAX_PIECE];
};

enum op { OP_SEND, OP_SEND_IMM, OP_WRITE, OP_WRITE_IMM, OP_READ, OP_CAS, OP_FAA, OP_UD, OPS };

/* GRH that precedes a datagram takes one piece of the receive's list */
#define MAX_UD_PIECE (MAX_PIECE - 1)

/* one step, the same on both sides */
struct step {
    int number;
    enum op op;
    int qp;
    uint32_t size;
    bool in_line;
    bool bell; /* an empty SEND follows: nothing else tells of a WRITE over UC */
    struct layout client, server;
    uint64_t pattern;
};

/* verbs_check.c */
void fail(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void sync_sides(struct side *s, uint32_t number);

/* verbs_check_setup.c */
void side_open(struct side *s);
void side_connect(struct side *s);
void side_close(struct side *s);

/* verbs_check_steps.c */
bool any_op_wanted(const struct options *opt);
void run_steps(struct side *s);
void run_errors(struct side *s);

#endif
