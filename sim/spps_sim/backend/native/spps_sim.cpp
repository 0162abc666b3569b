// The Verilated pair, or with SPPS_BOARD one unit on its board, behind a C interface for ctypes: whole frames in and
// out, many cycles per call.
//
// One clock cycle is: drive the inputs, settle with clk = 0, sample every handshake, rise. All stamps
// are the number of the cycle in which a word was transferred; cycle 0 is the first after reset.
// Nothing here starts a thread, so a process may fork() between two calls.
#ifdef SPPS_BOARD
#include "Vspps_board.h"
#else
#include "Vspps_pair.h"
#endif
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

#ifdef SPPS_BOARD
using Top = Vspps_board;
constexpr int UNITS = 1;
#else
using Top = Vspps_pair;
constexpr int UNITS = 2;
#endif
constexpr uint32_t SYNC_PORT = 255;     // of frames for the board's end of the sync link

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

// Status words in the order of STATUS_WORDS in interface.py; of a board those that it has.
constexpr int STATUS = 1 + 6 * UNITS;

// What the cores of a unit did in a clock: the words of its port activity_n, undecoded.
#ifdef SPPS_BOARD
constexpr int ACTIVITY = sizeof(Top::activity) / 4;
#else
constexpr int ACTIVITY = sizeof(Top::activity_0) / 4;
#endif
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

struct Input {          // frames on their way into one port of the top
    std::deque<Frame> frames;
    std::size_t position = 0;       // next byte of frames.front()
};

struct Host {           // the register access of one unit
    QData* request;
    CData *requested, *ready;
    IData* answer;
    CData* answered;
};

struct Simulation {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Top> top;
    uint64_t cycle = 0;
    Input input, sync_input;
    std::deque<Frame> output;
    std::vector<Mark> marks;
    bool watching = false;              // activity is wanted
    std::deque<Activity> activity;
    std::array<uint32_t, STATUS> status{};
    using Payload = std::remove_reference_t<decltype(Top::o___05Fpayload)>;
    Assembler<Payload> out, tap[UNITS];
    Host host[UNITS];
    std::deque<uint32_t> answer[UNITS];
    bool ready[UNITS] = {};             // the host port was ready in the last cycle
#ifdef SPPS_TRACE
    std::unique_ptr<Trace> trace;
#endif

    Simulation() {
        context->randReset(0);
        context->threads(1);
#ifdef SPPS_TRACE
        context->traceEverOn(true);
#endif
#ifdef SPPS_BOARD
        top.reset(new Top(context.get(), "spps_board"));
        top->alive = 1;
        top->o_sync___05Fready = 1;
        top->o_mmc___05Fready = 1;
        host[0] = {&top->i_mmc___05Fpayload, &top->i_mmc___05Fvalid, &top->i_mmc___05Fready, &top->o_mmc___05Fpayload,
                   &top->o_mmc___05Fvalid};
#else
        top.reset(new Top(context.get(), "spps_pair"));
        top->o_mmc_0___05Fready = 1;
        top->o_mmc_1___05Fready = 1;
        host[0] = {&top->i_mmc_0___05Fpayload, &top->i_mmc_0___05Fvalid, &top->i_mmc_0___05Fready,
                   &top->o_mmc_0___05Fpayload, &top->o_mmc_0___05Fvalid};
        host[1] = {&top->i_mmc_1___05Fpayload, &top->i_mmc_1___05Fvalid, &top->i_mmc_1___05Fready,
                   &top->o_mmc_1___05Fpayload, &top->o_mmc_1___05Fvalid};
#endif
        top->o___05Fready = 1;
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
#ifdef SPPS_BOARD
        s = {uint32_t(top->active), top->epoch, top->issued, top->confirmed, top->delivered, top->done, top->copied};
#else
        s = {uint32_t(top->active), top->epoch_0, top->epoch_1, top->issued_0, top->issued_1, top->confirmed_0,
             top->confirmed_1, top->delivered_0, top->delivered_1, top->done_0, top->done_1, top->copied_0, top->copied_1};
#endif
    }

    static void drive(const Input& in, Payload& word, CData& valid) {
        valid = !in.frames.empty();
        if (!valid) return;
        const Frame& f = in.frames.front();
        const std::size_t left = f.bytes.size() - in.position;
        const int count = left < WORD_BYTES ? int(left) : WORD_BYTES;
        for (int i = 0; i < WORD_BYTES; ++i) put(word, W - 8 - 8 * i, 8, i < count ? f.bytes[in.position + i] : 0);
        const bool last = left <= WORD_BYTES;
        put(word, PORT, 8, f.port);
        put(word, EMPTY, EMPTY_BITS, last ? WORD_BYTES - count : 0);
        put(word, LAST, 1, last);
        put(word, ERR, 1, last && f.err);
    }

    // A word was transferred; true when it was the last of its frame.
    bool taken(Input& in) {
        Frame& f = in.frames.front();
        if (in.position == 0) f.start = cycle;
        in.position += WORD_BYTES;
        if (in.position < f.bytes.size()) return false;
        f.kind = IN;
        f.cycle = cycle;
        output.push_back(std::move(f));
        in.frames.pop_front();
        in.position = 0;
        return true;
    }

    void listen(int n, const Payload& payload, bool valid, Kind kind, uint32_t& happened) {
        if (valid && tap[n].add(payload, cycle)) happened |= emit(tap[n].frame, kind, STOP_SYNC);
    }

    template <typename Port> void watch(uint32_t unit, const Port& port) {
        Activity a{cycle, unit, {}};
        std::memcpy(a.words, &port, sizeof port);
        if (std::any_of(a.words, a.words + ACTIVITY, [](uint32_t word) { return word != 0; })) activity.push_back(a);
    }

    // One cycle; returns what happened in it.
    uint32_t step() {
        uint32_t happened = 0;
        drive(input, top->i___05Fpayload, top->i___05Fvalid);
#ifdef SPPS_BOARD
        drive(sync_input, top->i_sync___05Fpayload, top->i_sync___05Fvalid);
#endif
        settle();
        if (top->i___05Fvalid && top->i___05Fready && taken(input)) happened |= STOP_IN;
        if (top->o___05Fvalid && out.add(top->o___05Fpayload, cycle)) happened |= emit(out.frame, OUT, STOP_OUT);
#ifdef SPPS_BOARD
        if (top->i_sync___05Fvalid && top->i_sync___05Fready && taken(sync_input)) happened |= STOP_SYNC;
        listen(0, top->o_sync___05Fpayload, top->o_sync___05Fvalid, SYNC0, happened);
        if (watching) watch(0, top->activity);
#else
        listen(0, top->tap_sync_0___05Fpayload, top->tap_sync_0___05Fvalid, SYNC0, happened);
        listen(1, top->tap_sync_1___05Fpayload, top->tap_sync_1___05Fvalid, SYNC1, happened);
        if (watching) {
            watch(0, top->activity_0);
            watch(1, top->activity_1);
        }
#endif
        for (int n = 0; n < UNITS; ++n) {
            if (*host[n].answered) answer[n].push_back(*host[n].answer);
            ready[n] = *host[n].ready;
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
        CData& valid = *host[unit].requested;
        *host[unit].request = uint64_t(address) | uint64_t(data) << 16 | uint64_t(write) << 48;
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
    (port == SYNC_PORT ? s->sync_input : s->input).frames.push_back(std::move(f));
}
SPPS_API uint32_t spps_pending(const Simulation* s) { return uint32_t(s->input.frames.size()); }
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
#ifdef SPPS_BOARD
    (void)s, (void)kill, (void)freeze, (void)detector, (void)appoint, (void)power_up;
#else
    s->top->kill = kill;
    s->top->freeze = freeze;
    s->top->detector = detector;
    s->top->appoint = appoint;
    s->top->power_up = power_up;
    for (int n = 0; n < 2; ++n)         // a frame that the unit was sending when it died has no end
        if (power_up >> n & 1) s->tap[n].frame.bytes.clear();
#endif
}
// What the link does to frames of `unit`: the bits of LinkControl, in words, least significant first.
#ifdef SPPS_BOARD
SPPS_API void spps_link(Simulation*, uint32_t, const uint32_t*) {}
SPPS_API uint32_t spps_link_words() { return 0; }
#else
SPPS_API void spps_link(Simulation* s, uint32_t unit, const uint32_t* bits) {
    auto& port = unit ? s->top->link_1 : s->top->link_0;
    std::memcpy(&port, bits, sizeof port);
}
SPPS_API uint32_t spps_link_words() { return sizeof(Top::link_0) / 4; }
#endif
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
