// The Verilated pair behind a C interface for ctypes: whole frames in and out, many cycles per call.
//
// One clock cycle is: drive the inputs, settle with clk = 0, sample every handshake, rise. All stamps
// are the number of the cycle in which a word was transferred; cycle 0 is the first after reset.
// Nothing here starts a thread, so a process may fork() between two calls.
#include "Vspps_pair.h"
#include "verilated.h"
#if defined(SPPS_TRACE_FST)
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif defined(SPPS_TRACE_VCD)
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <type_traits>
#include <vector>

#ifndef SPPS_W
#error "SPPS_W: width of the packet datapath in bits"
#endif

namespace {

constexpr int W = SPPS_W;
constexpr int WORD_BYTES = W / 8;
constexpr int EMPTY_BITS = W == 32 ? 2 : W == 64 ? 3 : 4;
static_assert(W == 32 || W == 64 || W == 128, "SPPS_W must be 32, 64 or 128");
// Layout of a packet word, least significant first: data, port, empty, last, err.
constexpr int PORT = W, EMPTY = PORT + 8, LAST = EMPTY + EMPTY_BITS, ERR = LAST + 1;

// Bit fields of a port, whether Verilator made it an integer or an array of 32-bit words.
uint32_t get(uint64_t word, int lsb, int width) { return (word >> lsb) & ((1ull << width) - 1); }
void put(QData& word, int lsb, int width, uint64_t value) {
    const uint64_t mask = ((1ull << width) - 1) << lsb;
    word = (word & ~mask) | ((value << lsb) & mask);
}
template <std::size_t N> uint32_t get(const VlWide<N>& word, int lsb, int width) {
    uint64_t pair = word[lsb / 32];
    if (lsb / 32 + 1 < int(N)) pair |= uint64_t(word[lsb / 32 + 1]) << 32;
    return (pair >> (lsb % 32)) & ((1ull << width) - 1);
}
template <std::size_t N> void put(VlWide<N>& word, int lsb, int width, uint64_t value) {
    for (int bit = 0; bit < width; ++bit) {
        const int at = lsb + bit;
        const EData mask = EData(1) << (at % 32);
        if ((value >> bit) & 1) word[at / 32] |= mask; else word[at / 32] &= ~mask;
    }
}

enum Kind : uint32_t { OUT = 0, SYNC0 = 1, SYNC1 = 2, IN = 3 };
enum Stop : uint32_t { STOP_OUT = 1, STOP_SYNC = 2, STOP_ROLE = 4, STOP_IN = 8 };

struct Frame {
    uint32_t kind = 0, port = 0, err = 0;
    uint64_t start = 0, cycle = 0;      // first and last word transferred
    std::vector<uint8_t> bytes;
};

struct FrameInfo {      // as seen by ctypes
    uint32_t kind, port, err, length;
    uint64_t start, cycle;
};

struct Mark {           // a status word took a new value
    uint64_t cycle;
    uint32_t word, value;
};

// Status words in the order of STATUS_WORDS in verilated.py.
constexpr int STATUS = 13;

// What the cores of a unit did in a clock: the words of its port activity_n, undecoded.
constexpr int ACTIVITY = sizeof(Vspps_pair::activity_0) / 4;
struct __attribute__((packed)) Activity {
    uint64_t cycle;
    uint32_t unit;
    uint32_t words[ACTIVITY];
};

template <typename Payload> struct Assembler {
    Frame frame;
    // True when the word completed the frame.
    bool add(const Payload& word, uint64_t cycle) {
        if (frame.bytes.empty()) frame.start = cycle;
        const bool last = get(word, LAST, 1);
        const int count = last ? WORD_BYTES - int(get(word, EMPTY, EMPTY_BITS)) : WORD_BYTES;
        for (int i = 0; i < count; ++i) frame.bytes.push_back(uint8_t(get(word, W - 8 - 8 * i, 8)));
        if (!last) return false;
        frame.port = get(word, PORT, 8);
        frame.err = get(word, ERR, 1);
        frame.cycle = cycle;
        return true;
    }
};

struct Simulation {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vspps_pair> top;
    uint64_t cycle = 0;
    std::deque<Frame> input, output;
    std::size_t position = 0;       // next byte of input.front()
    std::vector<Mark> marks;
    bool watching = false;              // activity is wanted
    std::deque<Activity> activity;
    std::array<uint32_t, STATUS> status{};
    using Payload = std::remove_reference_t<decltype(Vspps_pair::o___05Fpayload)>;
    Assembler<Payload> out, tap[2];
    std::deque<uint32_t> answer[2];
    bool ready[2] = {false, false};     // i_mmc_n was ready in the last cycle
#ifdef SPPS_TRACE
    std::unique_ptr<Trace> trace;
#endif

    Simulation() {
        context->randReset(0);
        context->threads(1);
#ifdef SPPS_TRACE
        context->traceEverOn(true);
#endif
        top.reset(new Vspps_pair(context.get(), "spps_pair"));
        top->o___05Fready = 1;
        top->o_mmc_0___05Fready = 1;
        top->o_mmc_1___05Fready = 1;
        top->rst = 1;
        for (int i = 0; i < 8; ++i) clock();
        top->rst = 0;
        cycle = 0;
        read_status(status);
    }
    ~Simulation() {
#ifdef SPPS_TRACE
        if (trace) trace->close();
#endif
        top->final();
    }

    void settle() {
        top->clk = 0;
        top->eval();
#ifdef SPPS_TRACE
        if (trace) trace->dump(cycle * 10);
#endif
    }
    void rise() {
        top->clk = 1;
        top->eval();
#ifdef SPPS_TRACE
        if (trace) trace->dump(cycle * 10 + 5);
#endif
        ++cycle;
    }
    void clock() { settle(); rise(); }

    void read_status(std::array<uint32_t, STATUS>& s) const {
        s = {uint32_t(top->active), top->epoch_0, top->epoch_1, top->issued_0, top->issued_1, top->confirmed_0,
             top->confirmed_1, top->delivered_0, top->delivered_1, top->done_0, top->done_1, top->copied_0, top->copied_1};
    }

    void drive() {
        if (input.empty()) { top->i___05Fvalid = 0; return; }
        const Frame& f = input.front();
        const std::size_t left = f.bytes.size() - position;
        const int count = left < WORD_BYTES ? int(left) : WORD_BYTES;
        auto& word = top->i___05Fpayload;
        for (int i = 0; i < WORD_BYTES; ++i) put(word, W - 8 - 8 * i, 8, i < count ? f.bytes[position + i] : 0);
        const bool last = left <= WORD_BYTES;
        put(word, PORT, 8, f.port);
        put(word, EMPTY, EMPTY_BITS, last ? WORD_BYTES - count : 0);
        put(word, LAST, 1, last);
        put(word, ERR, 1, last && f.err);
        top->i___05Fvalid = 1;
    }

    template <typename Port> void watch(uint32_t unit, const Port& port) {
        Activity a{cycle, unit, {}};
        std::memcpy(a.words, &port, sizeof port);
        if (std::any_of(a.words, a.words + ACTIVITY, [](uint32_t word) { return word != 0; })) activity.push_back(a);
    }

    // One cycle; returns what happened in it.
    uint32_t step() {
        uint32_t happened = 0;
        drive();
        settle();
        if (top->i___05Fvalid && top->i___05Fready) {
            Frame& f = input.front();
            if (position == 0) f.start = cycle;
            position += WORD_BYTES;
            if (position >= f.bytes.size()) {
                f.kind = IN;
                f.cycle = cycle;
                output.push_back(std::move(f));
                input.pop_front();
                position = 0;
                happened |= STOP_IN;
            }
        }
        if (top->o___05Fvalid && out.add(top->o___05Fpayload, cycle)) happened |= emit(out.frame, OUT, STOP_OUT);
        if (top->tap_sync_0___05Fvalid && tap[0].add(top->tap_sync_0___05Fpayload, cycle))
            happened |= emit(tap[0].frame, SYNC0, STOP_SYNC);
        if (top->tap_sync_1___05Fvalid && tap[1].add(top->tap_sync_1___05Fpayload, cycle))
            happened |= emit(tap[1].frame, SYNC1, STOP_SYNC);
        if (top->o_mmc_0___05Fvalid) answer[0].push_back(top->o_mmc_0___05Fpayload);
        if (top->o_mmc_1___05Fvalid) answer[1].push_back(top->o_mmc_1___05Fpayload);
        ready[0] = top->i_mmc_0___05Fready;
        ready[1] = top->i_mmc_1___05Fready;
        if (watching) {
            watch(0, top->activity_0);
            watch(1, top->activity_1);
        }
        std::array<uint32_t, STATUS> now;
        read_status(now);
        if (now != status) {
            for (int i = 0; i < STATUS; ++i)
                if (now[i] != status[i]) marks.push_back({cycle, uint32_t(i), now[i]});
            if (now[0] != status[0]) happened |= STOP_ROLE;
            status = now;
        }
        rise();
        return happened;
    }

    uint32_t emit(Frame& frame, Kind kind, Stop stop) {
        frame.kind = kind;
        output.push_back(std::move(frame));
        frame = Frame();
        return stop;
    }

    // Reads one register, or writes it and waits until the next request would be taken: only reads are answered.
    // False: not done within `limit` cycles.
    bool mmc(int unit, uint32_t address, uint32_t data, bool write, uint32_t limit, uint32_t* result) {
        auto& payload = unit ? top->i_mmc_1___05Fpayload : top->i_mmc_0___05Fpayload;
        auto& valid = unit ? top->i_mmc_1___05Fvalid : top->i_mmc_0___05Fvalid;
        payload = uint64_t(address) | uint64_t(data) << 16 | uint64_t(write) << 48;
        valid = 1;
        answer[unit].clear();
        bool taken = false, finished = false;
        for (; limit && !finished; --limit) {
            step();
            if (taken) finished = write ? ready[unit] : !answer[unit].empty();
            else if (ready[unit]) { taken = true; valid = 0; }
        }
        valid = 0;
        if (finished && !write) *result = answer[unit].front();
        return finished;
    }
};

}  // namespace

#define SPPS_API __attribute__((visibility("default")))
extern "C" {

SPPS_API Simulation* spps_create() { return new Simulation; }
SPPS_API void spps_destroy(Simulation* s) { delete s; }
SPPS_API uint32_t spps_width() { return W; }
SPPS_API uint64_t spps_cycle(const Simulation* s) { return s->cycle; }

SPPS_API uint32_t spps_step(Simulation* s, uint64_t cycles, uint32_t stop) {
    uint32_t happened = 0;
    while (cycles-- && !(happened & stop)) happened |= s->step();
    return happened;
}
SPPS_API void spps_push(Simulation* s, uint32_t port, const uint8_t* bytes, uint32_t length, uint32_t err) {
    if (!length) return;
    Frame f;
    f.port = port;
    f.err = err;
    f.bytes.assign(bytes, bytes + length);
    s->input.push_back(std::move(f));
}
SPPS_API uint32_t spps_pending(const Simulation* s) { return uint32_t(s->input.size()); }
// The oldest complete frame; info->length bytes are copied. 0: none. -1: longer than `capacity`, not taken.
SPPS_API int spps_pop(Simulation* s, FrameInfo* info, uint8_t* bytes, uint32_t capacity) {
    if (s->output.empty()) return 0;
    const Frame& f = s->output.front();
    *info = {f.kind, f.port, f.err, uint32_t(f.bytes.size()), f.start, f.cycle};
    if (f.bytes.size() > capacity) return -1;
    std::memcpy(bytes, f.bytes.data(), f.bytes.size());
    s->output.pop_front();
    return 1;
}
// Takes up to `capacity` of the oldest marks; returns their number.
SPPS_API uint32_t spps_marks(Simulation* s, Mark* to, uint32_t capacity) {
    const uint32_t n = s->marks.size() < capacity ? uint32_t(s->marks.size()) : capacity;
    std::copy_n(s->marks.begin(), n, to);
    s->marks.erase(s->marks.begin(), s->marks.begin() + n);
    return n;
}
SPPS_API void spps_watch(Simulation* s, uint32_t on) { s->watching = on; }
SPPS_API uint32_t spps_activity_size() { return sizeof(Activity); }
// Takes up to `capacity` of the oldest activities; returns their number.
SPPS_API uint32_t spps_activity(Simulation* s, Activity* to, uint32_t capacity) {
    const uint32_t n = std::min<std::size_t>(s->activity.size(), capacity);
    std::copy_n(s->activity.begin(), n, to);
    s->activity.erase(s->activity.begin(), s->activity.begin() + n);
    return n;
}
SPPS_API int spps_mmc(Simulation* s, uint32_t unit, uint32_t address, uint32_t data, uint32_t write, uint32_t limit, uint32_t* result) {
    return s->mmc(unit, address, data, write, limit, result);
}
SPPS_API void spps_controls(Simulation* s, uint32_t kill, uint32_t freeze, uint32_t detector, uint32_t appoint,
                            uint32_t power_up) {
    s->top->kill = kill;
    s->top->freeze = freeze;
    s->top->detector = detector;
    s->top->appoint = appoint;
    s->top->power_up = power_up;
    for (int n = 0; n < 2; ++n)         // a frame that the unit was sending when it died has no end
        if (power_up >> n & 1) s->tap[n].frame.bytes.clear();
}
// What the link does to frames of `unit`: the bits of LinkControl, in words, least significant first.
SPPS_API void spps_link(Simulation* s, uint32_t unit, const uint32_t* bits) {
    auto& port = unit ? s->top->link_1 : s->top->link_0;
    std::memcpy(&port, bits, sizeof port);
}
SPPS_API uint32_t spps_link_words() { return sizeof(Vspps_pair::link_0) / 4; }
SPPS_API void spps_status(const Simulation* s, uint32_t* to) { std::copy(s->status.begin(), s->status.end(), to); }
SPPS_API int spps_trace_open(Simulation* s, const char* path) {
#ifdef SPPS_TRACE
    s->trace.reset(new Trace);
    s->top->trace(s->trace.get(), 99);
    s->trace->open(path);
    return s->trace->isOpen();
#else
    (void)s, (void)path;
    return 0;
#endif
}
SPPS_API void spps_trace_close(Simulation* s) {
#ifdef SPPS_TRACE
    if (s->trace) s->trace->close();
    s->trace.reset();
#else
    (void)s;
#endif
}

}  // extern "C"
