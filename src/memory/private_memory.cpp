#include <retinue/detail/memory/private_memory.hpp>

#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sys/mman.h>

#include "region.hpp"
#include "system/calls.hpp"
#include "worker_heap.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace retinue::detail {
namespace {

constexpr std::uintptr_t kPage = 4096;
constexpr std::size_t kMaxViews = 16'384;  // a process may have some 65,000 mappings in all

// Writes to each page what is there, which makes it this process's own.
void own_pages(std::byte* from, std::size_t bytes) noexcept {
  if (sys::madvise(from, bytes, MADV_POPULATE_WRITE) == 0) return;
  for (std::size_t at = 0; at < bytes; at += kPage) {
    auto* const byte = reinterpret_cast<volatile unsigned char*>(from + at);  // else compilers see that nothing changes
    unsigned char same = *byte;
    __atomic_compare_exchange_n(byte, &same, same, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

const Region* region_of(const void* data) noexcept {
  if (const WorkerHeap* heap = worker_heap(); heap != nullptr && heap->region().holds(data)) return &heap->region();
  try {
    const Region& own = Region::of_this_process();
    return own.holds(data) ? &own : nullptr;
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace

struct PrivateMemory::View {
  std::byte* pages = nullptr;
  std::size_t length = 0;  // of the pages
  std::byte* data = nullptr;
  std::size_t size = 0;
  std::shared_ptr<const void> source;
  bool complete = false;
  View* before = nullptr;
  View* next = nullptr;
};

/// The views of this process. The mutex is held over a fork, so that no view comes or goes beside it.
struct PrivateMemory::Views {
  std::mutex mutex;
  View* first = nullptr;
  std::size_t count = 0;

  static Views& all() {
    static Views& views = *new Views;  // never destroyed: objects in static variables may have views
    static const int once = pthread_atfork(
        [] {
          all().mutex.lock();
          all().complete([](const View&) { return true; });
        },
        [] { all().mutex.unlock(); }, [] { all().mutex.unlock(); });
    (void)once;
    return views;
  }

  template <class Which>
  void complete(Which&& which) noexcept {
    for (View* view = first; view != nullptr; view = view->next) {
      if (view->complete || !which(*view)) continue;
      own_pages(view->pages, view->length);
      view->complete = true;
      view->source.reset();
    }
  }
};

PrivateMemory::PrivateMemory(std::unique_ptr<View> view) noexcept : view_(std::move(view)) {}
PrivateMemory::PrivateMemory(PrivateMemory&& other) noexcept = default;
void* PrivateMemory::data() const noexcept { return view_->data; }
std::size_t PrivateMemory::size() const noexcept { return view_->size; }

std::optional<PrivateMemory> PrivateMemory::of(const void* data, std::size_t bytes,
                                               std::shared_ptr<const void> source) noexcept try {
  const Region* region = region_of(data);
  if (region == nullptr || bytes == 0) return std::nullopt;
  Views& all = Views::all();
  auto view = std::make_unique<View>();
  const std::uint64_t offset = region->offset_of(data), first = offset / kPage * kPage;
  view->length = (offset - first + bytes + kPage - 1) / kPage * kPage;
  const std::lock_guard lock(all.mutex);
  if (all.count >= kMaxViews) return std::nullopt;
  const int fd = region->memfd();
  if (fd < 0) return std::nullopt;
  void* pages = sys::mmap(nullptr, view->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd,
                          static_cast<off_t>(first));
  if (pages == MAP_FAILED) return std::nullopt;
  if (!region->file().is_fd(fd)) {  // closed by another thread meanwhile: it may be another file that is mapped
    munmap(pages, view->length);
    return std::nullopt;
  }
  view->pages = static_cast<std::byte*>(pages);
  view->data = view->pages + (offset - first);
  view->size = bytes;
  view->source = std::move(source);
  view->next = all.first;
  if (all.first != nullptr) all.first->before = view.get();
  all.first = view.get();
  ++all.count;
  return PrivateMemory(std::move(view));
} catch (const std::bad_alloc&) {
  return std::nullopt;
}

PrivateMemory::~PrivateMemory() {
  if (view_ == nullptr) return;
  Views& all = Views::all();
  {
    const std::lock_guard lock(all.mutex);
    (view_->before != nullptr ? view_->before->next : all.first) = view_->next;
    if (view_->next != nullptr) view_->next->before = view_->before;
    --all.count;
  }
  munmap(view_->pages, view_->length);  // before the source goes with the view
}

void complete_borrowed() noexcept {
  PrivateMemory::Views& all = PrivateMemory::Views::all();
  if (__atomic_load_n(&all.count, __ATOMIC_RELAXED) == 0) return;
  const std::lock_guard lock(all.mutex);
  all.complete([](const PrivateMemory::View& view) { return view.source == nullptr; });
}

}  // namespace retinue::detail
