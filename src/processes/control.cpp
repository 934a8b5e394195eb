#include "control.hpp"

#include <bit>
#include <new>

#include "system/futex.hpp"

namespace retinue::detail {

PoolMemory PoolMemory::at(std::byte* memory, unsigned workers, std::uint64_t slots) noexcept {
  static_assert(sizeof(Control) % 64 == 0 && sizeof(WorkerRecord) % 64 == 0);
  PoolMemory m;
  m.workers = workers;
  m.slot_mask = slots - 1;
  m.control = std::launder(reinterpret_cast<Control*>(memory));
  m.worker_records = std::launder(reinterpret_cast<WorkerRecord*>(memory + sizeof(Control)));
  m.slots = reinterpret_cast<Slot*>(memory + sizeof(Control) + workers * sizeof(WorkerRecord));
  return m;
}

PoolMemory PoolMemory::lay_out(std::byte* memory, unsigned workers, std::uint64_t slots) noexcept {
  new (memory) Control();
  for (unsigned i = 0; i < workers; ++i) new (memory + sizeof(Control) + i * sizeof(WorkerRecord)) WorkerRecord();
  return at(memory, workers, slots);  // slots are left as the zeros the memory comes with, all free, and untouched
}

void ring_worker(const PoolMemory& memory, unsigned index) noexcept {
  memory.worker_records[index].doorbell.store(1, std::memory_order_release);  // Model: ring_worker
  futex_wake(memory.worker_records[index].doorbell, ~std::uint32_t{0});
}

bool nobody_sleeps(const PoolMemory& memory) noexcept {
  for (unsigned word = 0; word < memory.idler_words(); ++word)
    if (memory.control->idlers[word].asleep.load(std::memory_order_seq_cst) != 0) return false;
  return true;
}

bool somebody_spins(const PoolMemory& memory, bool look_closely) noexcept {
  for (unsigned word = 0; word < memory.idler_words(); ++word) {
    // Model: somebody_spins
    std::uint64_t bits = memory.control->idlers[word].spinning.load(std::memory_order_seq_cst);
    if (bits != 0 && !look_closely) return true;
    for (; bits != 0; bits &= bits - 1) {
      const unsigned index = word * 64 + static_cast<unsigned>(std::countr_zero(bits));
      if (index < memory.workers && memory.worker_records[index].current.load(std::memory_order_seq_cst) == 0)
        return true;
    }
  }
  return false;
}

void wake_one(const PoolMemory& memory) noexcept {
  for (unsigned word = 0; word < memory.idler_words(); ++word) {
    auto& asleep = memory.control->idlers[word].asleep;
    for (std::uint64_t bits = asleep.load(std::memory_order_seq_cst); bits != 0; bits &= bits - 1) {
      const std::uint64_t bit = bits & (~bits + 1);
      // Model: wake_one
      if ((asleep.fetch_and(~bit) & bit) == 0) continue;  // somebody else woke it
      const unsigned index = word * 64 + static_cast<unsigned>(std::countr_zero(bit));
      if (index >= memory.workers) continue;
      ring_worker(memory, index);
      return;
    }
  }
}

void ring_all_workers(const PoolMemory& memory) noexcept {
  for (unsigned i = 0; i < memory.workers; ++i) ring_worker(memory, i);  // Model: ring_all_workers
}

}  // namespace retinue::detail
