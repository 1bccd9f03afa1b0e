/* SPDX-License-Identifier: Apache-2.0 */
/* verbs_check: device, memory, queues, and connecting them. */
#include "verbs_check.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define DEPTH   64
#define QKEY    0x11111111

static struct ibv_context *open_device(const char *name)
{
    int n = 0;
    struct ibv_device **list = ibv_get_device_list(&n);

    for (int i = 0; i < n; i++) {
        if (name && strcmp(name, ibv_get_device_name(list[i])))
            continue;
        struct ibv_context *ctx = ibv_open_device(list[i]);

        if (!ctx)
            fail("cannot open %s", ibv_get_device_name(list[i]));
        ibv_free_device_list(list);
        return ctx;
    }
    fail("no RDMA device %s", name ? name : "");
}

/* an address of the family asked for; a link-local one has to be asked for by its index */
static int find_gid(struct ibv_context *ctx, bool ipv6)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct ibv_gid_entry e;

    for (uint32_t i = 0; i < 256; i++)
        if (!ibv_query_gid_ex(ctx, 1, i, &e, 0) && e.gid_type == IBV_GID_TYPE_ROCE_V2 &&
            !memcmp(e.gid.raw, mapped, sizeof(mapped)) == !ipv6 && e.gid.raw[0] != 0xfe)
            return (int)i;
    fail("no RoCE v2 GID with an IPv%c address", ipv6 ? '6' : '4');
}

static struct ibv_qp *create_qp(struct side *s, enum ibv_qp_type type)
{
    struct ibv_qp_init_attr init = {.send_cq = s->cq,
                                    .recv_cq = s->cq,
                                    .srq = type == IBV_QPT_RC ? s->srq : NULL,
                                    .qp_type = type,
                                    .cap = {.max_send_wr = DEPTH,
                                            .max_recv_wr = DEPTH,
                                            .max_send_sge = MAX_PIECE,
                                            .max_recv_sge = MAX_PIECE,
                                            .max_inline_data = s->opt->inline_size}};
    struct ibv_qp *qp = ibv_create_qp(s->pd, &init);

    if (!qp)
        fail("ibv_create_qp");
    if (init.cap.max_inline_data < s->opt->inline_size)
        fail("max_inline_data %u", init.cap.max_inline_data);
    return qp;
}

static void to_init(struct side *s, struct ibv_qp *qp)
{
    struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};
    int mask = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;

    if (qp == s->ud) {
        attr.qkey = QKEY;
        mask |= IBV_QP_QKEY;
    } else {
        attr.qp_access_flags =
            IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC;
        mask |= IBV_QP_ACCESS_FLAGS;
    }
    if (ibv_modify_qp(qp, &attr, mask))
        fail("to INIT: %m");
}

void side_open(struct side *s)
{
    struct ibv_srq_init_attr srq = {.attr = {.max_wr = DEPTH, .max_sge = MAX_PIECE}};

    s->ctx = open_device(s->opt->device);
    s->gid_index = s->opt->gid_index >= 0 ? s->opt->gid_index : find_gid(s->ctx, s->opt->ipv6);
    if (ibv_query_gid(s->ctx, 1, s->gid_index, &s->gid))
        fail("GID %d", s->gid_index);
    s->mine.psn = (uint32_t)(s->opt->seed * 0x9e3779b9u + s->client) & 0xffffff;
    s->pd = ibv_alloc_pd(s->ctx);
    s->channel = ibv_create_comp_channel(s->ctx);
    s->cq = ibv_create_cq(s->ctx, 2 * DEPTH, NULL, s->channel, 0);
    /* odd start: no page of ours begins where the region does */
    s->buf = mmap(NULL, REGION + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!s->pd || !s->channel || !s->cq || s->buf == MAP_FAILED)
        fail("cannot set up: %m");
    s->buf += 104;
    s->mr = ibv_reg_mr(s->pd, s->buf, REGION,
                       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                           IBV_ACCESS_REMOTE_ATOMIC);
    if (!s->mr)
        fail("ibv_reg_mr: %m");
    if (s->opt->srq && !(s->srq = ibv_create_srq(s->pd, &srq)))
        fail("ibv_create_srq: %m");
    for (int i = 0; i < s->opt->qps; i++) {
        s->qp[i] = create_qp(s, s->opt->type);
        s->mine.qpn[i] = s->qp[i]->qp_num;
        to_init(s, s->qp[i]);
    }
    s->ud = create_qp(s, IBV_QPT_UD);
    s->mine.ud_qpn = s->ud->qp_num;
    to_init(s, s->ud);
    s->mine.rkey = s->mr->rkey;
    s->mine.addr = (uintptr_t)s->buf;
    memcpy(s->mine.gid, s->gid.raw, 16);
}

static struct ibv_ah_attr path_to(struct side *s)
{
    struct ibv_ah_attr ah = {.is_global = 1,
                             .port_num = 1,
                             .grh = {.sgid_index = (uint8_t)s->gid_index, .hop_limit = 64}};

    memcpy(ah.grh.dgid.raw, s->peer.gid, 16);
    return ah;
}

static void connect_qp(struct side *s, int i)
{
    struct ibv_qp_attr rtr = {.qp_state = IBV_QPS_RTR,
                              .path_mtu = s->opt->mtu,
                              .dest_qp_num = s->peer.qpn[i],
                              .rq_psn = s->peer.psn,
                              .max_dest_rd_atomic = 16,
                              .min_rnr_timer = 12,
                              .ah_attr = path_to(s)};
    struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS,
                              .sq_psn = s->mine.psn,
                              .timeout = 17,
                              .retry_cnt = 7,
                              .rnr_retry = 7,
                              .max_rd_atomic = 16};
    int rtr_mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
    int rts_mask = IBV_QP_STATE | IBV_QP_SQ_PSN;
    struct ibv_qp_init_attr init;
    struct ibv_qp_attr now;

    if (s->opt->type == IBV_QPT_RC) {
        rtr_mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
        rts_mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
    }
    if (ibv_modify_qp(s->qp[i], &rtr, rtr_mask))
        fail("to RTR: %m");
    if (ibv_modify_qp(s->qp[i], &rts, rts_mask))
        fail("to RTS: %m");
    if (ibv_query_qp(s->qp[i], &now, IBV_QP_PATH_MTU, &init) || now.path_mtu != s->opt->mtu)
        fail("path MTU %u is not %u", 128u << now.path_mtu, 128u << s->opt->mtu);
}

void side_connect(struct side *s)
{
    struct ibv_qp_attr rtr = {.qp_state = IBV_QPS_RTR};
    struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS, .sq_psn = s->mine.psn};
    struct ibv_ah_attr ah;

    for (int i = 0; i < s->opt->qps; i++)
        connect_qp(s, i);
    if (ibv_modify_qp(s->ud, &rtr, IBV_QP_STATE) ||
        ibv_modify_qp(s->ud, &rts, IBV_QP_STATE | IBV_QP_SQ_PSN))
        fail("UD QP: %m");
    ah = path_to(s);
    s->ah = ibv_create_ah(s->pd, &ah);
    if (!s->ah)
        fail("ibv_create_ah: %m");
}

/* everything must go without complaint: leaks show here as EBUSY */
void side_close(struct side *s)
{
    bool bad = ibv_destroy_ah(s->ah) || ibv_destroy_qp(s->ud);

    for (int i = 0; i < s->opt->qps; i++)
        bad |= ibv_destroy_qp(s->qp[i]) != 0;
    if (s->srq)
        bad |= ibv_destroy_srq(s->srq) != 0;
    bad |= ibv_dereg_mr(s->mr) || ibv_destroy_cq(s->cq) || ibv_destroy_comp_channel(s->channel) ||
           ibv_dealloc_pd(s->pd) || ibv_close_device(s->ctx);
    if (bad)
        fail("cannot destroy: %m");
}
