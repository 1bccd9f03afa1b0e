// SPDX-License-Identifier: Apache-2.0
/** libibverbs with owners: what test programs in C++ share. */
#ifndef TBIB_TEST_TOOLS_RDMA_HPP
#define TBIB_TEST_TOOLS_RDMA_HPP

#include <infiniband/verbs.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace rdma {

/** Destroys an object and ends the program with a word if the library refuses. */
struct Destroy {
    void operator()(ibv_context* p) const;
    void operator()(ibv_pd* p) const;
    void operator()(ibv_cq* p) const;
    void operator()(ibv_qp* p) const;
    void operator()(ibv_srq* p) const;
    void operator()(ibv_mr* p) const;
    void operator()(ibv_mw* p) const;
    void operator()(ibv_ah* p) const;
    void operator()(ibv_comp_channel* p) const;
};

template <typename T>
using Owned = std::unique_ptr<T, Destroy>;

/** Throws std::runtime_error with errno's text. */
[[noreturn]] void fail(const std::string& what);

/** Owns what a call returned; throws if that is nothing. */
template <typename T>
Owned<T> own(T* object, const char* what) {
    if (object == nullptr) {
        fail(what);
    }
    return Owned<T>(object);
}

/** An open device with its protection domain and the address that others reach it by. */
class Device {
public:
    explicit Device(const std::string& name);

    [[nodiscard]] ibv_context* context() const { return context_.get(); }
    [[nodiscard]] ibv_pd* pd() const { return pd_.get(); }
    [[nodiscard]] const union ibv_gid& gid() const { return gid_; }
    [[nodiscard]] const ibv_port_attr& port() const { return port_; }
    [[nodiscard]] std::uint8_t gid_index() const { return gid_index_; }

    [[nodiscard]] Owned<ibv_mr> register_memory(void* start, std::size_t size, int access) const;
    [[nodiscard]] Owned<ibv_cq> create_cq(int entries, ibv_comp_channel* channel = nullptr) const;
    [[nodiscard]] Owned<ibv_qp> create_rc(ibv_cq* cq, const ibv_qp_cap& cap,
                                          ibv_srq* srq = nullptr) const;

private:
    Owned<ibv_context> context_;
    Owned<ibv_pd> pd_;
    ibv_port_attr port_{};
    union ibv_gid gid_{};
    std::uint8_t gid_index_ = 0;
};

/** Where a QP is, for the other side. */
struct Address {
    union ibv_gid gid;
    std::uint32_t qpn;
    std::uint32_t psn;
    std::uint32_t mtu;
};

struct Connection {
    int access = IBV_ACCESS_REMOTE_WRITE;
    std::uint8_t read_depth = 1;
    std::uint8_t timeout = 20;
    std::uint8_t retries = 7;
    std::uint8_t rnr_retries = 7; /**< 7: for ever */
};

Address address_of(const Device& device, const ibv_qp* qp);
/** INIT, so that receives can be posted. */
void initialise(ibv_qp* qp, int access);
/** RTR of an initialised QP. */
void ready_to_receive(const Device& device, ibv_qp* qp, const Address& peer,
                      const Connection& how);
/** RTS of one that is ready to receive. */
void ready_to_send(const Device& device, ibv_qp* qp, const Connection& how);
/** Both. */
void connect(const Device& device, ibv_qp* qp, const Address& peer, const Connection& how);

void post_send(ibv_qp* qp, ibv_send_wr& first);
void post_recv(ibv_qp* qp, ibv_recv_wr& first);
/** Polls without waiting; throws if a completion is not a success. */
std::vector<ibv_wc> poll(ibv_cq* cq);

/** The same numbers on both sides: splitmix64. */
std::uint64_t mix(std::uint64_t state);

} // namespace rdma

#endif
