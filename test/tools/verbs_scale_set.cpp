// SPDX-License-Identifier: Apache-2.0
/** verbs_scale churn: one of everything. */
#include <unistd.h>

#include <cstring>

#include "verbs_scale.hpp"

namespace {

constexpr std::uint32_t message_bytes = 64;
constexpr std::uint32_t grh_bytes = 40;
constexpr std::uint32_t qkey = 0x11111111;
constexpr int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
                       IBV_ACCESS_MW_BIND;
constexpr int few = 64;
constexpr int more = 200;

/** Where a message is: by its number. A datagram comes behind a header. */
constexpr std::size_t slot_bytes = 256;
enum Slot { sent, received, datagram, slots };

union ibv_gid group() {
    union ibv_gid gid{};
    const std::uint8_t address[] = {0xff, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x74, 0x62, 0, 2};
    std::memcpy(gid.raw, address, sizeof(address));
    return gid;
}

rdma::Owned<ibv_srq> create_srq(const rdma::Device& device) {
    ibv_srq_init_attr attr{};
    attr.attr.max_wr = 16;
    attr.attr.max_sge = 1;
    return rdma::own(ibv_create_srq(device.pd(), &attr), "create an SRQ");
}

rdma::Owned<ibv_ah> create_ah(const rdma::Device& device) {
    ibv_ah_attr attr{};
    attr.is_global = 1;
    attr.port_num = 1;
    attr.grh.dgid = device.gid();
    attr.grh.sgid_index = device.gid_index();
    attr.grh.hop_limit = 64;
    return rdma::own(ibv_create_ah(device.pd(), &attr), "create an AH");
}

void modify(ibv_qp* qp, ibv_qp_state state, int mask) {
    ibv_qp_attr attr{};
    attr.qp_state = state;
    attr.port_num = 1;
    attr.qkey = qkey;
    if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | mask) != 0) {
        rdma::fail("modify a UD QP");
    }
}

/** Ready to send, and a member of a group. */
rdma::Owned<ibv_qp> create_ud(const rdma::Device& device, ibv_cq* cq) {
    ibv_qp_init_attr init{};
    init.send_cq = cq;
    init.recv_cq = cq;
    init.cap = {16, 16, 1, 1, 0};
    init.qp_type = IBV_QPT_UD;
    auto qp = rdma::own(ibv_create_qp(device.pd(), &init), "create a UD QP");
    modify(qp.get(), IBV_QPS_INIT, IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY);
    modify(qp.get(), IBV_QPS_RTR, 0);
    modify(qp.get(), IBV_QPS_RTS, IBV_QP_SQ_PSN);
    const auto gid = group();
    if (ibv_attach_mcast(qp.get(), &gid, 0) != 0) {
        rdma::fail("attach to a group");
    }
    return qp;
}

/** Two RC QPs that talk to each other, one of them with a shared queue; a UD QP; a window. */
class Set {
public:
    explicit Set(const std::string& name)
        : device_(name),
          channel_(rdma::own(ibv_create_comp_channel(device_.context()), "create a channel")),
          cq_(device_.create_cq(few, channel_.get())), srq_(create_srq(device_)),
          words_(slots * slot_bytes / 8 + 4096),
          mr_(device_.register_memory(words_.data(), words_.size() * 8, access)),
          mw_(rdma::own(ibv_alloc_mw(device_.pd(), IBV_MW_TYPE_2), "allocate an MW")),
          ah_(create_ah(device_)),
          near_(device_.create_rc(cq_.get(), {16, 16, 1, 1, message_bytes})),
          far_(device_.create_rc(cq_.get(), {16, 16, 1, 1, message_bytes}, srq_.get())),
          ud_(create_ud(device_, cq_.get())) {
        for (ibv_qp* qp : {near_.get(), far_.get()}) {
            rdma::initialise(qp, IBV_ACCESS_REMOTE_WRITE);
        }
        rdma::connect(device_, near_.get(), rdma::address_of(device_, far_.get()), {});
        rdma::connect(device_, far_.get(), rdma::address_of(device_, near_.get()), {});
    }

    /** Posts a message and a datagram, binds the window. */
    void start(std::uint64_t number) {
        word(sent) = number;
        if (ibv_req_notify_cq(cq_.get(), 0) != 0) {
            rdma::fail("ask for an event");
        }
        receive();
        send();
        bind();
        if (ibv_resize_cq(cq_.get(), more) != 0) {
            rdma::fail("resize a CQ");
        }
    }

    void finish(std::uint64_t number) {
        ibv_cq* cq = nullptr;
        void* context = nullptr;
        if (ibv_get_cq_event(channel_.get(), &cq, &context) != 0) {
            rdma::fail("get an event");
        }
        ibv_ack_cq_events(cq, 1);
        for (std::size_t seen = 0; seen < completions;) {
            seen += wait_for(cq_.get(), Clock::now() + patience).size();
        }
        if (word(received) != number || (&word(datagram))[grh_bytes / 8] != number) {
            throw std::runtime_error("wrong data in set " + std::to_string(number));
        }
        const auto gid = group();
        if (ibv_detach_mcast(ud_.get(), &gid, 0) != 0) {
            rdma::fail("detach from a group");
        }
    }

private:
    static constexpr std::size_t completions = 5;

    std::uint64_t& word(Slot slot) { return words_[slot * slot_bytes / 8]; }

    ibv_sge place(Slot slot, std::uint32_t bytes) {
        return {reinterpret_cast<std::uintptr_t>(&word(slot)), bytes, mr_->lkey};
    }

    void receive() {
        ibv_sge sge = place(received, message_bytes);
        ibv_recv_wr wr{};
        wr.sg_list = &sge;
        wr.num_sge = 1;
        ibv_recv_wr* bad = nullptr;
        if (ibv_post_srq_recv(srq_.get(), &wr, &bad) != 0) {
            rdma::fail("post to an SRQ");
        }
        sge = place(datagram, grh_bytes + message_bytes);
        rdma::post_recv(ud_.get(), wr);
    }

    void send() {
        ibv_sge sge = place(sent, message_bytes);
        ibv_send_wr wr{};
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_SEND;
        wr.send_flags = IBV_SEND_SIGNALED;
        rdma::post_send(near_.get(), wr);
        wr.wr.ud.ah = ah_.get();
        wr.wr.ud.remote_qpn = ud_->qp_num;
        wr.wr.ud.remote_qkey = qkey;
        rdma::post_send(ud_.get(), wr);
    }

    void bind() {
        ibv_send_wr wr{};
        wr.opcode = IBV_WR_BIND_MW;
        wr.send_flags = IBV_SEND_SIGNALED;
        wr.bind_mw.mw = mw_.get();
        wr.bind_mw.rkey = ibv_inc_rkey(mw_->rkey);
        wr.bind_mw.bind_info = {mr_.get(), reinterpret_cast<std::uintptr_t>(words_.data()),
                                words_.size() * 8, IBV_ACCESS_REMOTE_WRITE};
        rdma::post_send(near_.get(), wr);
    }

    rdma::Device device_;
    rdma::Owned<ibv_comp_channel> channel_;
    rdma::Owned<ibv_cq> cq_;
    rdma::Owned<ibv_srq> srq_;
    std::vector<std::uint64_t> words_;
    rdma::Owned<ibv_mr> mr_;
    rdma::Owned<ibv_mw> mw_;
    rdma::Owned<ibv_ah> ah_;
    rdma::Owned<ibv_qp> near_;
    rdma::Owned<ibv_qp> far_;
    rdma::Owned<ibv_qp> ud_;
};

} // namespace

void make_and_use(const std::string& device, int number, bool abandon) {
    Set set(device);
    set.start(static_cast<std::uint64_t>(number));
    if (abandon) {
        _exit(0);
    }
    set.finish(static_cast<std::uint64_t>(number));
}
