#include "task.hpp"

#include <cstring>
#include <ctime>

#include "random.hpp"

namespace retinue_chaos {
namespace {

constexpr std::string_view kBehaviours[] = {"plain",
                                            "nap",
                                            "throw-standard",
                                            "throw-registered",
                                            "throw-foreign",
                                            "leave",
                                            "crash",
                                            "stop-self",
                                            "exhaust-memory",
                                            "exhaust-descriptors",
                                            "hoard-descriptors",
                                            "grow",
                                            "fork-child",
                                            "fork-orphan",
                                            "fork-return",
                                            "nest",
                                            "linger"};
static_assert(std::size(kBehaviours) == static_cast<std::size_t>(Behaviour::kCount));
constexpr std::string_view kShapes[] = {"number", "made-text", "text", "numbers", "array", "span", "slow", "refusing"};
static_assert(std::size(kShapes) == static_cast<std::size_t>(Shape::kCount));

/// Arguments and results differ in size and bytes.
std::uint64_t result_seed(const Task& task) { return mixed(task.seed, 2); }
std::size_t result_size(const Task& task) { return task.seed % 3 == 0 ? task.size / 7 + 1 : task.size; }

void fill(std::uint64_t* to, std::size_t count, std::uint64_t seed) {
  for (std::uint64_t word = seed; count > 0; --count, word = word * 0x5851f42d4c957f2d + 1) *to++ = word;
}

void demand(bool holds, const Task& task, const char* what) {
  if (!holds) throw Wrong("task " + std::to_string(task.index) + ": " + what);
}

}  // namespace

std::string_view name_of(Behaviour behaviour) { return kBehaviours[static_cast<std::size_t>(behaviour)]; }
std::string_view name_of(Shape shape) { return kShapes[static_cast<std::size_t>(shape)]; }

void take_time(std::uint32_t micros) {
  const timespec t{micros / 1'000'000, static_cast<long>(micros % 1'000'000) * 1000};
  ::nanosleep(&t, nullptr);
}
void refuse() { throw std::domain_error(std::string(kRefusal)); }

RefusingText::Where refusal_of(const Task& task) { return static_cast<RefusingText::Where>(task.seed / 8 % 4); }

std::string text_of(std::uint64_t seed, std::size_t bytes) {
  std::string text(bytes, '\0');
  const std::vector<std::uint64_t> words = numbers_of(seed, bytes / 8 + 1);
  std::memcpy(text.data(), words.data(), bytes);
  return text;
}

std::vector<std::uint64_t> numbers_of(std::uint64_t seed, std::size_t count) {
  std::vector<std::uint64_t> numbers(count);
  fill(numbers.data(), count, seed);
  return numbers;
}

std::uint64_t digest(const void* data, std::size_t bytes) {
  const auto* at = static_cast<const unsigned char*>(data);
  std::uint64_t sum = 0xcbf29ce484222325 ^ bytes, word = 0;
  for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
    std::memcpy(&word, at, sizeof word);
    sum = (sum ^ word) * 0x100000001b3;
    sum ^= sum >> 29;
  }
  for (; bytes > 0; --bytes) sum = (sum ^ *at++) * 0x100000001b3;
  return sum;
}

std::uint64_t to_number(Task task) {
  commit(task);
  Random random(task.seed);
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < task.size % 4096; ++i) sum += random();
  return sum;
}

std::string to_made_text(Task task) {
  commit(task);
  return text_of(result_seed(task), result_size(task));
}

std::string to_text(Task task, std::string text) {
  demand(text == text_of(task.seed, task.size), task, "its text is not the one it was given");
  commit(task);
  return text_of(result_seed(task), result_size(task));
}

std::vector<std::uint64_t> to_numbers(Task task, std::vector<std::uint64_t> numbers) {
  demand(numbers == numbers_of(task.seed, task.size / 8), task, "its numbers are not those it was given");
  commit(task);
  return numbers_of(result_seed(task), result_size(task) / 8);
}

retinue::SharedArray<std::uint64_t> to_array(Task task) {
  retinue::SharedArray<std::uint64_t> array(result_size(task) / 8);
  commit(task);  // a death now leaves a block that only its worker knew of
  fill(array.data(), array.size(), result_seed(task));
  return array;
}

std::uint64_t to_span(Task task, retinue::SharedSpan<std::uint64_t> span) {
  fill(span.data(), span.size(), result_seed(task));
  commit(task);
  return digest(span.data(), span.size() * sizeof(std::uint64_t));
}

SlowText to_slow(Task task, SlowText text) {
  demand(text.text == text_of(task.seed, task.size), task, "its slow text is not the one it was given");
  commit(task);
  return {text_of(result_seed(task), result_size(task)), text.micros};
}

RefusingText to_refusing(Task task, RefusingText text) {
  commit(task);
  return {std::move(text.text), text.where, true};
}

}  // namespace retinue_chaos
