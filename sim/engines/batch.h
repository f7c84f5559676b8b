// Batch loop for the accelerator's top: many images in one call, with seeded stalls on both streams.
// Included by shim.cpp when the model has the accelerator's ports; driven by sim/batch.py.
#pragma once
#include <cstdint>
#include <vector>

struct Batch {
    // Streams. One beat is `lanes` bytes; in_last marks the last beat of each image.
    const uint8_t* in_data;
    const uint8_t* in_last;
    uint64_t in_beats;
    uint8_t* out_data;
    uint64_t* out_keep;
    uint8_t* out_last;
    uint64_t out_capacity;
    uint64_t out_beats;  // result
    uint64_t images;
    uint64_t images_done;  // result
    // Clock cycle (counted from `cycle`) of each image's first input beat and last output beat.
    uint64_t* first_cycle;
    uint64_t* last_cycle;
    uint64_t cycle;  // in: number of the first cycle; result: number of the next cycle
    uint64_t max_cycles;
    uint64_t seed;
    double source_pause, sink_pause, burst;
    uint32_t lanes;
    uint32_t gap;  // idle cycles before each image, which lets the accelerator become ready; 0: back to back
    uint32_t status_address, status_mask, status_interval;
    uint32_t end_address, end_mask;  // a second register, looked at in turn with the status; ends the run (mask 0: none)
};

enum { BATCH_DONE = 0, BATCH_TIMEOUT = 1, BATCH_ERROR = 2, BATCH_UNSTABLE = 3, BATCH_OVERFLOW = 4, BATCH_END = 5 };

// The pause generator of sim/bus.py: pauses of `burst` cycles on average that make up `probability` of all cycles.
struct Pauses {
    uint64_t state;
    double probability, burst;
    bool paused = false;
    Pauses(uint64_t seed, double probability, double burst)
        : state(seed * 0x9E3779B97F4A7C15ull + 0x1234567), probability(probability), burst(burst) {
        if (probability > 0) paused = random() < probability;
    }
    uint64_t next_word() {
        state += 0x9E3779B97F4A7C15ull;
        uint64_t z = state;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }
    double random() { return static_cast<double>(next_word() >> 11) * 0x1.0p-53; }
    bool next() {
        if (probability <= 0) return false;
        const bool now = paused;
        paused = paused ? random() >= 1 / burst : random() < probability / (burst * (1 - probability));
        return now;
    }
};

static inline uint32_t host_read_word(Dut* dut, uint32_t address) {
    uint32_t word = 0;
    dut->top->host_addr = address;
    dut->top->host_read = 1;
    dut->settled = false;
    dut->edge();
    dut->top->host_read = 0;
    dut->edge();
    dut->settle();
    get_port(dut->top->host_rdata, &word);
    return word;
}

extern "C" {
void batch_host_write(void* handle, const uint32_t* addresses, const uint32_t* words, uint64_t count) {
    Dut* dut = static_cast<Dut*>(handle);
    for (uint64_t i = 0; i < count; i++) {
        dut->top->host_addr = addresses[i];
        dut->top->host_wdata = words[i];
        dut->top->host_write = 1;
        dut->settled = false;
        dut->edge();
    }
    dut->top->host_write = 0;
}

void batch_host_read(void* handle, const uint32_t* addresses, uint32_t* words, uint64_t count) {
    Dut* dut = static_cast<Dut*>(handle);
    for (uint64_t i = 0; i < count; i++) words[i] = host_read_word(dut, addresses[i]);
}

int batch_run(void* handle, Batch* batch) {
    Dut* dut = static_cast<Dut*>(handle);
    Vdut* top = dut->top.get();
    Pauses source(2 * batch->seed, batch->source_pause, batch->burst);
    Pauses sink(2 * batch->seed + 1, batch->sink_pause, batch->burst);
    const uint32_t words = (batch->lanes + 3) / 4;
    std::vector<uint32_t> beat(words), out(words), held(words);
    uint64_t in_beat = 0, started = 0, cycle = batch->cycle, free_at = cycle + batch->gap;
    const uint64_t limit = cycle + batch->max_cycles;
    bool offering = false, starts = true, stalled = false, held_last = false;
    uint64_t held_keep = 0;
    uint32_t until_status = batch->status_interval;
    bool at_end = false;  // the register that is looked at is the second one
    int result = BATCH_TIMEOUT;
    batch->out_beats = batch->images_done = 0;

    for (; cycle < limit; cycle++) {
        if (batch->images_done == batch->images) {
            result = BATCH_DONE;
            break;
        }
        const bool source_paused = source.next();
        if (!offering) {
            const bool blocked = batch->gap && starts && (started > batch->images_done || cycle < free_at);
            offering = in_beat < batch->in_beats && !source_paused && !blocked;
            if (offering)
                std::memcpy(beat.data(), batch->in_data + in_beat * batch->lanes, batch->lanes);
            else
                for (uint32_t& word : beat) word = static_cast<uint32_t>(source.next_word());
            put_port(top->s_axis_tdata, beat.data());
            top->s_axis_tlast = offering && batch->in_last[in_beat];
            top->s_axis_tvalid = offering;
        }
        const bool ready = !sink.next();
        top->m_axis_tready = ready;
        dut->settled = false;
        dut->settle();

        if (offering && top->s_axis_tready) {
            if (starts) batch->first_cycle[started++] = cycle;
            starts = batch->in_last[in_beat++];
            offering = false;
        }
        if (stalled || top->m_axis_tvalid) {
            get_port(top->m_axis_tdata, out.data());
            const uint64_t keep = top->m_axis_tkeep;
            const bool last = top->m_axis_tlast;
            if (stalled && !(top->m_axis_tvalid && out == held && keep == held_keep && last == held_last)) {
                result = BATCH_UNSTABLE;
                break;
            }
            stalled = !ready;
            held = out;
            held_keep = keep;
            held_last = last;
            if (ready) {
                if (batch->out_beats == batch->out_capacity) {
                    result = BATCH_OVERFLOW;
                    break;
                }
                std::memcpy(batch->out_data + batch->out_beats * batch->lanes, out.data(), batch->lanes);
                batch->out_keep[batch->out_beats] = keep;
                batch->out_last[batch->out_beats++] = last;
                if (last) {
                    if (batch->images_done < batch->images) batch->last_cycle[batch->images_done] = cycle;
                    batch->images_done++;
                    free_at = cycle + batch->gap;
                }
            }
        }
        // The status register is read through the host port while the streams go on.
        if (until_status == 1) {
            top->host_addr = at_end ? batch->end_address : batch->status_address;
            top->host_read = 1;
        } else if (until_status == 0) {
            top->host_read = 0;
        }
        dut->settled = dut->settled && until_status > 1;
        dut->edge();
        if (batch->status_interval && until_status == 0) {
            uint32_t status = 0;
            get_port(top->host_rdata, &status);
            until_status = batch->status_interval;
            if (status & (at_end ? batch->end_mask : batch->status_mask)) {
                result = at_end ? BATCH_END : BATCH_ERROR;
                cycle++;
                break;
            }
            at_end = batch->end_mask && !at_end;
        } else if (batch->status_interval) {
            until_status--;
        }
    }
    top->s_axis_tvalid = 0;
    top->m_axis_tready = 0;
    top->host_read = 0;
    dut->settled = false;
    batch->cycle = cycle;
    return result;
}
}
