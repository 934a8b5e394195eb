#include "exceptions.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <memory>
#include <typeinfo>
#include <utility>
#include <vector>

#include <retinue/codec.hpp>
#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>

#include "known_exceptions.hpp"
#include "diagnostics/stack.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint32_t kMagic = 0x45786374;  // "tcxE" in memory: tells an image from zeros and old payloads
constexpr char kOutOfMemory = '!';            // the whole of the bytes; short enough to need no allocation

// Only ever grows at its head; entries are static (see ExceptionCodec).
std::atomic<const ExceptionCodec*> exception_codecs{nullptr};

const ExceptionCodec* codec_of(const std::type_info& type) noexcept {
  const ExceptionCodec* codec = exception_codecs.load(std::memory_order_acquire);
  while (codec != nullptr && *codec->type != type) codec = codec->next;
  return codec;
}

constexpr int kMaxNested = 64;

// std::throw_with_nested(E) throws a hidden class that derives from E. The name of E, or nothing for all other types.
std::string_view nested_type(const std::type_info& type) noexcept {
  constexpr std::string_view kBegin = "St17_Nested_exceptionI", kEnd = "E";
  std::string_view name = type.name();
  if (!name.starts_with(kBegin) || !name.ends_with(kEnd)) return {};
  name.remove_prefix(kBegin.size());
  name.remove_suffix(kEnd.size());
  return name;
}

// Two types of unnamed namespaces may share a name; then the address decides, which is the same in both
// processes for modules loaded before the fork. Without a match there is no telling: RemoteError is right.
const ExceptionCodec* codec_of(const ExceptionImage& image) noexcept {
  const ExceptionCodec* named = nullptr;
  unsigned count = 0;
  for (const ExceptionCodec* codec = exception_codecs.load(std::memory_order_acquire); codec != nullptr;
       codec = codec->next) {
    if (image.type != codec->type->name()) continue;
    if (image.type_address == reinterpret_cast<std::uintptr_t>(codec->type)) return codec;
    named = codec;
    ++count;
  }
  return count == 1 ? named : nullptr;
}

// Null if two types of this name are registered: there is no telling which is meant.
const ExceptionCodec* only_codec_of(std::string_view name) noexcept {
  ExceptionImage image;
  image.type = name;
  return codec_of(image);
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(name, nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 && text ? std::string(text.get()) : std::string(name);
}

void name_type(ExceptionImage& image, const std::type_info& type) {
  image.type = type.name();
  image.type_address = reinterpret_cast<std::uintptr_t>(&type);
  image.readable_type = demangled(type.name());
}

void fill(ExceptionImage& image, const std::exception& thrown) {
  image.message = thrown.what();
  const auto* const stand_in = dynamic_cast<const StandIn*>(&thrown);
  const std::type_info& type = stand_in != nullptr ? stand_in->stands_for() : typeid(thrown);
  const std::string within(nested_type(type));
  if (within.empty()) {
    name_type(image, type);
  } else {
    image.type = within;
    image.readable_type = demangled(within.c_str());
  }
  if (const KnownException* const known = within.empty() ? known_exception(type) : known_exception(within)) {
    if (known->save(thrown, image)) image.kind = static_cast<std::uint32_t>(ImageKind::kKnown);
  } else if (const ExceptionCodec* const codec = within.empty() ? codec_of(type) : only_codec_of(within)) {
    try {
      image.payload = codec->write(thrown);
      image.kind = static_cast<std::uint32_t>(ImageKind::kRegistered);
    } catch (...) {  // its codec refuses it, so only name and text travel
    }
  }
}

std::string bytes_of(const ExceptionImage& image);
ExceptionImage image_of(const std::exception_ptr& thrown, int depth = 0);

// What `thrown` holds, if it was thrown with std::throw_with_nested or is of a class that does likewise.
void add_inner(ExceptionImage& image, const std::nested_exception* thrown, int depth) {
  if (thrown != nullptr && thrown->nested_ptr() && depth < kMaxNested)
    image.inner = bytes_of(image_of(thrown->nested_ptr(), depth + 1));
}

ExceptionImage image_of(const std::exception_ptr& thrown, int depth) {
  ExceptionImage image;
  image.magic = kMagic;
  const StackRecord& site = throw_site();
  image.frames.assign(site.frames, site.frames + site.count);
  clear_throw_site();
  if (!thrown) {
    image.readable_type = "(no exception)";
    return image;
  }
  const auto name_current = [&image] {
    const std::type_info* const type = abi::__cxa_current_exception_type();
    if (type != nullptr) name_type(image, *type);
    else image.readable_type = "(not a C++ exception)";
  };
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    fill(image, e);
    add_inner(image, dynamic_cast<const std::nested_exception*>(&e), depth);
  } catch (const std::nested_exception& e) {
    name_current();
    add_inner(image, &e, depth);
  } catch (const std::string& text) {
    name_current();
    image.message = text;
  } catch (const char* text) {
    name_current();
    image.message = text == nullptr ? "" : text;
  } catch (bool value) {
    name_current();
    image.message = value ? "true" : "false";
  } catch (int value) {
    name_current();
    image.message = std::to_string(value);
  } catch (unsigned value) {
    name_current();
    image.message = std::to_string(value);
  } catch (long value) {
    name_current();
    image.message = std::to_string(value);
  } catch (unsigned long value) {
    name_current();
    image.message = std::to_string(value);
  } catch (long long value) {
    name_current();
    image.message = std::to_string(value);
  } catch (double value) {
    name_current();
    image.message = std::to_string(value);
  } catch (...) {
    name_current();
  }
  return image;
}

struct alignas(kPayloadAlignment) Chunk {
  std::byte bytes[kPayloadAlignment];
};

// Bytes where a Reader may expect them; also a copy that nobody can change while it is checked.
std::vector<Chunk> aligned_copy(std::string_view bytes) {
  std::vector<Chunk> copy((bytes.size() + sizeof(Chunk) - 1) / sizeof(Chunk) + 1);
  if (!bytes.empty()) std::memcpy(copy.data(), bytes.data(), bytes.size());
  return copy;
}

ExceptionImage read_image(std::string_view bytes) {
  const std::vector<Chunk> copy = aligned_copy(bytes);
  Reader reader(copy.data()->bytes, bytes.size());
  auto image = reader.value<ExceptionImage>();
  reader.finish();
  if (image.magic != kMagic || image.kind > static_cast<std::uint32_t>(ImageKind::kRegistered)) {
    throw CodecError("damaged exception");
  }
  return image;
}

// Null where it can only be a RemoteError.
std::exception_ptr itself(const ExceptionImage& image) {
  try {
    if (image.kind == static_cast<std::uint32_t>(ImageKind::kKnown)) {
      const KnownException* const known = known_exception(image.type);
      return known == nullptr ? nullptr : known->make(image);
    }
    if (image.kind == static_cast<std::uint32_t>(ImageKind::kRegistered)) {
      const ExceptionCodec* const codec = codec_of(image);
      if (codec == nullptr) return nullptr;
      const std::vector<Chunk> copy = aligned_copy(image.payload);
      return codec->read(image.message, copy.data()->bytes, image.payload.size());
    }
  } catch (...) {  // its constructor or codec refuses; name and text are still good
  }
  return nullptr;
}

std::string described_throw(const ExceptionImage& image, pid_t worker_pid) {
  StackRecord site;
  site.count = static_cast<std::uint32_t>(std::min<std::size_t>(image.frames.size(), kStackFrames));
  std::copy_n(image.frames.begin(), site.count, site.frames);
  return describe_stack(site, worker_pid);
}

thread_local bool making_nested = false;

class MakingNested {
 public:
  explicit MakingNested(bool nested) noexcept : before_(std::exchange(making_nested, nested)) {}
  ~MakingNested() { making_nested = before_; }
  MakingNested(const MakingNested&) = delete;
  MakingNested& operator=(const MakingNested&) = delete;

 private:
  bool before_;
};

struct Sender {
  pid_t worker_pid;
  std::uint64_t task_index;
};

std::exception_ptr made_of(const ExceptionImage& image, const Sender& sender) {
  if (std::exception_ptr exception = itself(image)) return exception;
  return made(RemoteError(image.readable_type, image.message, sender.worker_pid, sender.task_index,
                          described_throw(image, sender.worker_pid)));
}

// The outer one is made while the inner one is being handled: that is how it comes to hold it.
std::exception_ptr rebuilt(std::string_view bytes, const Sender& sender, int depth) {
  const ExceptionImage image = read_image(bytes);
  if (image.inner.empty()) {
    const MakingNested plain(false);
    return made_of(image, sender);
  }
  if (depth == kMaxNested) throw CodecError("damaged exception");
  const std::exception_ptr inner = rebuilt(image.inner, sender, depth + 1);
  try {
    std::rethrow_exception(inner);
  } catch (...) {
    const MakingNested nested(true);
    return made_of(image, sender);
  }
}

std::size_t size_of(const ExceptionImage& image) {
  SizeCounter counter;
  counter.value(image);
  return counter.size();
}

std::string bytes_of(const ExceptionImage& image) {
  std::string bytes(size_of(image), '\0');
  Writer writer(reinterpret_cast<std::byte*>(bytes.data()), bytes.size());
  writer.value(image);
  writer.finish();
  return bytes;
}

// Makes a message shorter by `bytes` at least, never within a character of UTF-8, and lets its end show that it was.
void shorten(std::string& message, std::size_t bytes) {
  constexpr std::string_view kMark = "...";
  std::size_t kept = message.size() - std::min(message.size(), bytes + kMark.size());
  while (kept > 0 && (static_cast<unsigned char>(message[kept]) & 0xC0) == 0x80) --kept;
  message.resize(kept);
  message += kMark;
}

}  // namespace

bool is_making_nested() noexcept { return making_nested; }

void list_exception(ExceptionCodec& codec) noexcept {
  if (codec.listed.exchange(true)) return;
  const ExceptionCodec* head = exception_codecs.load(std::memory_order_relaxed);
  do {
    codec.next = head;
  } while (!exception_codecs.compare_exchange_weak(head, &codec, std::memory_order_release, std::memory_order_relaxed));
}

std::string encode_exception(const std::exception_ptr& thrown) noexcept {
  try {
    return bytes_of(image_of(thrown));
  } catch (...) {
    return std::string(1, kOutOfMemory);
  }
}

std::string encode_exception_within(std::size_t most, const std::exception_ptr& thrown) noexcept {
  try {
    ExceptionImage image = image_of(thrown);
    image.frames.clear();
    if (size_of(image) > most) image.inner.clear();
    if (size_of(image) > most && image.kind == static_cast<std::uint32_t>(ImageKind::kKnown))
      image.readable_type.clear();
    if (const std::size_t size = size_of(image); size > most) shorten(image.message, size - most + kPayloadAlignment);
    if (size_of(image) <= most) return bytes_of(image);
  } catch (...) {
    // Then without a type.
  }
  return std::string(1, kOutOfMemory);
}

std::exception_ptr decode_exception(std::string_view bytes, pid_t worker_pid, std::uint64_t task_index) noexcept {
  try {
    if (bytes.size() == 1 && bytes[0] == kOutOfMemory) return std::make_exception_ptr(std::bad_alloc());
    return rebuilt(bytes, {worker_pid, task_index}, 0);
  } catch (const CodecError& damage) {
    try {
      return std::make_exception_ptr(CodecError("task " + std::to_string(task_index) +
                                                ": the exception that its worker (pid " + std::to_string(worker_pid) +
                                                ") sent cannot be read, its memory may be damaged: " + damage.what()));
    } catch (...) {
      return std::current_exception();
    }
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace retinue::detail
