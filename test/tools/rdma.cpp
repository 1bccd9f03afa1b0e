// SPDX-License-Identifier: Apache-2.0
#include "rdma.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace rdma {

namespace {

constexpr std::uint8_t port_number = 1;
constexpr int gids_at_most = 256;

void destroyed(int result, const char* what) {
    if (result != 0) {
        std::fprintf(stderr, "cannot destroy a %s: %s\n", what, std::strerror(result));
        std::exit(1);
    }
}

/** True for an address of IPv4. */
bool is_mapped(const union ibv_gid& gid) {
    static constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(prefix.begin(), prefix.end(), gid.raw);
}

std::string line_of(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

/** As NCCL does it: the first index whose type sysfs calls RoCE v2 and which stands for IPv4. */
int find_gid(ibv_context* context) {
    const std::string types =
        std::string(context->device->ibdev_path) + "/ports/1/gid_attrs/types/";
    for (int i = 0; i < gids_at_most; i++) {
        union ibv_gid gid{};
        if (line_of(types + std::to_string(i)) == "RoCE v2" &&
            ibv_query_gid(context, port_number, i, &gid) == 0 && is_mapped(gid)) {
            return i;
        }
    }
    errno = ENOENT;
    fail("a RoCE v2 GID of an IPv4 address");
}

ibv_context* open_named(const std::string& name) {
    ibv_device** list = ibv_get_device_list(nullptr);
    ibv_context* found = nullptr;
    for (ibv_device** at = list; at != nullptr && *at != nullptr; at++) {
        if (name == ibv_get_device_name(*at)) {
            found = ibv_open_device(*at);
        }
    }
    ibv_free_device_list(list);
    return found;
}

} // namespace

void Destroy::operator()(ibv_context* p) const { destroyed(ibv_close_device(p), "context"); }
void Destroy::operator()(ibv_pd* p) const { destroyed(ibv_dealloc_pd(p), "PD"); }
void Destroy::operator()(ibv_cq* p) const { destroyed(ibv_destroy_cq(p), "CQ"); }
void Destroy::operator()(ibv_qp* p) const { destroyed(ibv_destroy_qp(p), "QP"); }
void Destroy::operator()(ibv_srq* p) const { destroyed(ibv_destroy_srq(p), "SRQ"); }
void Destroy::operator()(ibv_mr* p) const { destroyed(ibv_dereg_mr(p), "MR"); }
void Destroy::operator()(ibv_mw* p) const { destroyed(ibv_dealloc_mw(p), "MW"); }
void Destroy::operator()(ibv_ah* p) const { destroyed(ibv_destroy_ah(p), "AH"); }

void Destroy::operator()(ibv_comp_channel* p) const {
    destroyed(ibv_destroy_comp_channel(p), "completion channel");
}

void fail(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

Device::Device(const std::string& name)
    : context_(own(open_named(name), "open the device")),
      pd_(own(ibv_alloc_pd(context_.get()), "allocate a PD")) {
    if (ibv_query_port(context_.get(), port_number, &port_) != 0) {
        fail("query the port");
    }
    if (port_.state != IBV_PORT_ACTIVE || port_.link_layer != IBV_LINK_LAYER_ETHERNET) {
        throw std::runtime_error("the port is not an active one of Ethernet");
    }
    gid_index_ = static_cast<std::uint8_t>(find_gid(context_.get()));
    if (ibv_query_gid(context_.get(), port_number, gid_index_, &gid_) != 0) {
        fail("query the GID");
    }
}

Owned<ibv_mr> Device::register_memory(void* start, std::size_t size, int access) const {
    return own(ibv_reg_mr(pd(), start, size, static_cast<unsigned>(access)), "register memory");
}

Owned<ibv_cq> Device::create_cq(int entries, ibv_comp_channel* channel) const {
    return own(ibv_create_cq(context(), entries, nullptr, channel, 0), "create a CQ");
}

Owned<ibv_qp> Device::create_rc(ibv_cq* cq, const ibv_qp_cap& cap, ibv_srq* srq) const {
    ibv_qp_init_attr init{};
    init.send_cq = cq;
    init.recv_cq = cq;
    init.srq = srq;
    init.cap = cap;
    init.qp_type = IBV_QPT_RC;
    return own(ibv_create_qp(pd(), &init), "create a QP");
}

Address address_of(const Device& device, const ibv_qp* qp) {
    Address address{};
    address.gid = device.gid();
    address.qpn = qp->qp_num;
    address.psn = static_cast<std::uint32_t>(mix(qp->qp_num)) & 0xffffff;
    address.mtu = device.port().active_mtu;
    return address;
}

void initialise(ibv_qp* qp, int access) {
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_INIT;
    attr.port_num = port_number;
    attr.qp_access_flags = static_cast<unsigned>(access);
    if (ibv_modify_qp(qp, &attr,
                      IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) != 0) {
        fail("QP to INIT");
    }
}

void ready_to_receive(const Device& device, ibv_qp* qp, const Address& peer,
                      const Connection& how) {
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_RTR;
    attr.path_mtu = static_cast<ibv_mtu>(
        std::min<std::uint32_t>(device.port().active_mtu, peer.mtu));
    attr.dest_qp_num = peer.qpn;
    attr.rq_psn = peer.psn;
    attr.max_dest_rd_atomic = how.read_depth;
    attr.min_rnr_timer = 12;
    attr.ah_attr.is_global = 1;
    attr.ah_attr.port_num = port_number;
    attr.ah_attr.grh.dgid = peer.gid;
    attr.ah_attr.grh.sgid_index = device.gid_index();
    attr.ah_attr.grh.hop_limit = 255;
    if (ibv_modify_qp(qp, &attr,
                      IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
                          IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER) != 0) {
        fail("QP to RTR");
    }
}

void ready_to_send(const Device& device, ibv_qp* qp, const Connection& how) {
    ibv_qp_attr attr{};
    attr.qp_state = IBV_QPS_RTS;
    attr.sq_psn = address_of(device, qp).psn;
    attr.timeout = how.timeout;
    attr.retry_cnt = how.retries;
    attr.rnr_retry = how.rnr_retries;
    attr.max_rd_atomic = how.read_depth;
    if (ibv_modify_qp(qp, &attr,
                      IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
                          IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC) != 0) {
        fail("QP to RTS");
    }
}

void connect(const Device& device, ibv_qp* qp, const Address& peer, const Connection& how) {
    ready_to_receive(device, qp, peer, how);
    ready_to_send(device, qp, how);
}

void post_send(ibv_qp* qp, ibv_send_wr& first) {
    ibv_send_wr* bad = nullptr;
    const int error = ibv_post_send(qp, &first, &bad);
    if (error != 0) {
        errno = error;
        fail("post to a send queue");
    }
}

void post_recv(ibv_qp* qp, ibv_recv_wr& first) {
    ibv_recv_wr* bad = nullptr;
    const int error = ibv_post_recv(qp, &first, &bad);
    if (error != 0) {
        errno = error;
        fail("post to a receive queue");
    }
}

std::vector<ibv_wc> poll(ibv_cq* cq) {
    std::array<ibv_wc, 16> found{};
    const int n = ibv_poll_cq(cq, static_cast<int>(found.size()), found.data());
    if (n < 0) {
        fail("poll a CQ");
    }
    for (int i = 0; i < n; i++) {
        if (found[i].status != IBV_WC_SUCCESS) {
            throw std::runtime_error(std::string("a completion says: ") +
                                     ibv_wc_status_str(found[i].status) + ", wr_id " +
                                     std::to_string(found[i].wr_id));
        }
    }
    return {found.begin(), found.begin() + n};
}

std::uint64_t mix(std::uint64_t state) {
    std::uint64_t z = state + 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

} // namespace rdma
