// C interface of one model compiled by Verilator; driven by sim/engines/verilator.py through ctypes.
//
// The generated file `model.cpp` defines INPUTS(X) and OUTPUTS(X) (X(index, port) for every port except the clock) and
// CLOCK, includes the model's classes and then this file. A port's value travels as little-endian 32-bit words.
#include <cstdint>
#include <cstring>
#include <memory>
#include "verilated.h"
#ifdef TRACED
#include "verilated_vcd_c.h"
#endif

template <typename T>
static inline void put_port(T& port, const uint32_t* words) {
    port = static_cast<T>(sizeof(T) > 4 ? words[0] | static_cast<uint64_t>(words[sizeof(T) > 4]) << 32 : words[0]);
}
template <std::size_t N>
static inline void put_port(VlWide<N>& port, const uint32_t* words) {
    std::memcpy(port.data(), words, 4 * N);
}
template <typename T>
static inline void get_port(const T& port, uint32_t* words) {
    words[0] = static_cast<uint32_t>(port);
    if (sizeof(T) > 4) words[1] = static_cast<uint32_t>(static_cast<uint64_t>(port) >> 32);
}
template <std::size_t N>
static inline void get_port(const VlWide<N>& port, uint32_t* words) {
    std::memcpy(words, port.data(), 4 * N);
}

struct Dut {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vdut> top;
#ifdef TRACED
    VerilatedVcdC trace;
#endif
    bool settled = false;  // evaluated with the clock low and the present inputs

    void evaluate() {
        top->eval();
#ifdef TRACED
        if (trace.isOpen()) trace.dump(context->time());
        context->timeInc(5);
#endif
    }
    void settle() {
        if (settled) return;
        evaluate();
        settled = true;
    }
    // One rising edge. The clock's falling edge is evaluated together with the next inputs.
    void edge() {
        settle();
        top->CLOCK = 1;
        evaluate();
        top->CLOCK = 0;
        settled = false;
    }
};

extern "C" {
void* dut_open(int power_up, int seed, const char* trace_path) {
    Dut* dut = new Dut;
    dut->context->randReset(power_up);
    dut->context->randSeed(seed);
#ifdef TRACED
    dut->context->traceEverOn(true);
#endif
    dut->top.reset(new Vdut(dut->context.get()));
#ifdef TRACED
    if (trace_path) {
        dut->top->trace(&dut->trace, 99);
        dut->trace.open(trace_path);
    }
#endif
    dut->top->CLOCK = 0;
    dut->evaluate();  // initial blocks load memory images now, from the working folder
    return dut;
}

void dut_poke(void* handle, int index, const uint32_t* words) {
    Dut* dut = static_cast<Dut*>(handle);
    dut->settled = false;
    switch (index) {
#define POKE(number, name) case number: put_port(dut->top->name, words); break;
        INPUTS(POKE)
        default: break;
    }
}

void dut_peek(void* handle, int index, uint32_t* words) {
    Dut* dut = static_cast<Dut*>(handle);
    dut->settle();
    switch (index) {
#define PEEK(number, name) case number: get_port(dut->top->name, words); break;
        OUTPUTS(PEEK)
        default: break;
    }
}

void dut_step(void* handle, uint64_t cycles) {
    Dut* dut = static_cast<Dut*>(handle);
    while (cycles--) dut->edge();
}

void dut_close(void* handle) {
    Dut* dut = static_cast<Dut*>(handle);
#ifdef TRACED
    if (dut->trace.isOpen()) dut->trace.close();
#endif
    dut->top->final();
    delete dut;
}
}

#ifdef ACCELERATOR
#include "batch.h"
#endif
