// SPDX-License-Identifier: Apache-2.0
/**
 * verbs_rules: memory that its owner takes back while the other side writes to it.
 *
 * The client keeps WRITEs under way through one key, all to the same place. The server takes the
 * key away at some moment, and from the completion of that on, or the return of the call, the
 * memory is its own: no byte changes any more, neither by the WRITE that was being placed nor by
 * those behind it.
 */
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "verbs_rules.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr std::uint32_t shot = 64 << 10; // bytes of a WRITE, many packets
constexpr int depth = 16;                // WRITEs under way
constexpr std::uint32_t word = 8;
/** Packets of each path MTU from 1024 on end where such a piece ends. */
constexpr std::uint32_t piece = 1024;
/** In which the key goes, after the first WRITE has come. */
constexpr microseconds spread{2000};
/** Longer than any packet is copied. */
constexpr microseconds copying{100};
/** What is still in flight when the client has been refused arrives meanwhile. */
constexpr std::chrono::milliseconds arriving{3};
/** Slow guests end after fewer rounds. */
constexpr std::chrono::milliseconds average_round{160};

/** What the client may write to, until it is taken away. */
struct Target {
    rdma::Owned<ibv_mw> window;
    rdma::Owned<ibv_mr> region;
    std::uint32_t key;
};

/** The server of a round. */
struct Owner {
    Stage& stage;
    End& end;   /**< is written to */
    End& aside; /**< another connection, over which nothing goes */
};

/** One way to give memory and to take it back. */
struct Kind {
    Target (*give)(Owner&);
    void (*take)(Owner&, Target&);
};

Target window_of_connection(Owner& owner) {
    auto window = rdma::own(ibv_alloc_mw(owner.stage.device.pd(), IBV_MW_TYPE_2),
                            "allocate an MW");
    const std::uint32_t key = ibv_inc_rkey(window->rkey);
    owner.end.bind(window.get(), key, owner.end.piece(0, shot));
    return {std::move(window), nullptr, key};
}

/** Not by the connection that is written to: what the kernel does for that one, it does in turn. */
void bind_aside(Owner& owner, ibv_mw* window, std::uint32_t bytes) {
    ibv_mw_bind bind{};
    bind.send_flags = IBV_SEND_SIGNALED;
    bind.bind_info = {const_cast<ibv_mr*>(&owner.end.mr()), owner.end.piece(0, bytes).addr, bytes,
                      IBV_ACCESS_REMOTE_WRITE};
    expect(ibv_bind_mw(owner.aside.qp(), window, &bind) == 0, "cannot bind a window");
    owner.aside.completion(IBV_WC_SUCCESS, "bind a window of type 1");
}

Target window_of_domain(Owner& owner) {
    auto window = rdma::own(ibv_alloc_mw(owner.stage.device.pd(), IBV_MW_TYPE_1),
                            "allocate an MW");
    bind_aside(owner, window.get(), shot);
    const std::uint32_t key = window->rkey;
    return {std::move(window), nullptr, key};
}

Target region(Owner& owner) {
    auto* start = reinterpret_cast<void*>(owner.end.piece(0, shot).addr);
    auto mr = owner.stage.device.register_memory(start, shot, everything);
    const std::uint32_t key = mr->rkey;
    return {nullptr, std::move(mr), key};
}

constexpr Kind invalidated{window_of_connection, [](Owner& owner, Target& target) {
                               owner.end.invalidate(target.key);
                           }};
constexpr Kind unbound{window_of_domain, [](Owner& owner, Target& target) {
                           bind_aside(owner, target.window.get(), 0);
                       }};
constexpr Kind freed{window_of_domain, [](Owner&, Target& target) { target.window.reset(); }};
constexpr Kind deregistered{region, [](Owner&, Target& target) { target.region.reset(); }};

void spin(microseconds time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;) {
    }
}

/** On one of the CPUs the kernel places what comes, so on others this is beside it. */
void run_on_cpu_of(int round) {
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(static_cast<std::size_t>(round % sysconf(_SC_NPROCESSORS_ONLN)), &here);
    sched_setaffinity(0, sizeof(here), &here);
}

/** The client's WRITEs come from two places in turn, with these keys. */
constexpr std::uint64_t source_key(std::uint32_t source) { return std::uint64_t{source} << 32; }

/** Does the memory begin with one WRITE and end with the one before? */
bool is_cut(const End& end) {
    constexpr std::uint32_t last = shot - 2 * word; // the very last one is a trip wire
    return (end.word(0) == rdma::mix(source_key(0))) !=
           (end.word(last) == rdma::mix(source_key(0) + last / word));
}

/** Without a WRITE that came before, a round would prove nothing. */
void await_first(const End& end) {
    for (const auto limit = Clock::now() + patience; end.is_clear(shot - word, word);) {
        expect(Clock::now() < limit, "no WRITE has come in time");
    }
}

/**
 * Where packets end first, since that is little and done at once: a packet that is still being
 * copied runs over it. Then everything, for those which come later. Returns whether a WRITE was
 * in the midst of it.
 */
bool occupy(End& end) {
    for (std::uint32_t at = piece; at <= shot; at += piece) {
        end.clear(at - word, word);
    }
    spin(copying);
    const bool cut = is_cut(end);
    for (std::uint32_t at = piece; at <= shot; at += piece) {
        expect(end.is_clear(at - word, word),
               "a packet was still copied to memory that had been taken back, before byte " +
                   std::to_string(at));
    }
    end.clear(0, shot);
    return cut;
}

/** Returns what occupy() does. */
bool take_back(Owner owner, const Kind& kind, int round) {
    const auto delay = rdma::mix(static_cast<std::uint64_t>(round)) %
                       static_cast<std::uint64_t>(spread.count());
    Target target = kind.give(owner);
    run_on_cpu_of(round);
    owner.stage.channel.exchange(target.key);
    await_first(owner.end);
    spin(microseconds(delay));
    kind.take(owner, target);
    const bool cut = occupy(owner.end);
    owner.stage.channel.barrier(); // the client has been refused
    std::this_thread::sleep_for(arriving);
    expect(owner.end.is_clear(0, shot), "memory that had been taken back was written to");
    expect_event(owner.stage.device, IBV_EVENT_QP_ACCESS_ERR);
    owner.end.expect_state(IBV_QPS_ERR);
    return cut;
}

void shoot(End& end, std::uint32_t key, std::uint32_t n) {
    ibv_sge there = end.piece(0, shot);
    ibv_sge sge = end.piece(n % 2 * shot, shot);
    ibv_send_wr wr = end.request(IBV_WR_RDMA_WRITE, sge);
    wr.wr.rdma = {end.request(IBV_WR_RDMA_WRITE, there).wr.rdma.remote_addr, key};
    rdma::post_send(end.qp(), wr);
}

/** Until one is refused; the others are flushed, with those posted since. */
void fire(Stage& stage, End& end) {
    for (const std::uint32_t source : {0, 1}) {
        end.fill(source * shot, shot, source_key(source));
    }
    const auto key = stage.channel.exchange(std::uint32_t{0});
    std::uint32_t shots = 0;
    while (shots < depth) {
        shoot(end, key, shots++);
    }
    ibv_wc wc = end.completion();
    for (; wc.status == IBV_WC_SUCCESS; wc = end.completion()) {
        shoot(end, key, shots++);
    }
    expect(wc.status == IBV_WC_REM_ACCESS_ERR,
           std::string("a WRITE to what was taken back: ") + ibv_wc_status_str(wc.status));
    for (int i = 1; i < depth; i++) {
        end.completion(IBV_WC_WR_FLUSH_ERR, "behind the refused WRITE");
    }
    end.expect_state(IBV_QPS_ERR);
    stage.channel.barrier();
}

/** If both sides want one; the client's clock is as good as the server's. */
bool another(Stage& stage, int round, Clock::time_point end) {
    const bool mine = round < stage.rounds && Clock::now() < end;
    return stage.channel.exchange(mine) && mine;
}

/** A race, so it is run again and again, each time with new QPs. */
void under_fire(Stage& stage, const Kind& kind) {
    const auto end_of_time = Clock::now() + stage.rounds * average_round;
    End aside(stage);
    int round = 0;
    int cuts = 0;
    for (; another(stage, round, end_of_time); round++) {
        End end(stage);
        if (stage.client) {
            fire(stage, end);
        } else if (take_back({stage, end, aside}, kind, round)) {
            cuts++;
        }
    }
    expect(round > 0, "no round has been played");
    if (!stage.client) {
        std::printf("verbs_rules: %d rounds, %d of them cut a WRITE in two\n", round, cuts);
    }
}

void window_under_fire(Stage& stage) { under_fire(stage, invalidated); }
void window_unbound_under_fire(Stage& stage) { under_fire(stage, unbound); }
void window_freed_under_fire(Stage& stage) { under_fire(stage, freed); }
void region_under_fire(Stage& stage) { under_fire(stage, deregistered); }

} // namespace

std::vector<Scene> fire_scenes() {
    return {{"window-under-fire", window_under_fire},
            {"window-unbound-under-fire", window_unbound_under_fire},
            {"window-freed-under-fire", window_freed_under_fire},
            {"region-under-fire", region_under_fire}};
}
