// Counting one part of a corpus: the same work in the owner and in a worker.
#pragma once

#include "corpus.hpp"
#include "word_table.hpp"

namespace word_count {

/// Adds the words of a part to `table`.
void count(const Part& part, WordTable& table);

/// What a task of the pool runs.
struct Counted {
  Packet words;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
Counted count_apart(const Part& part);

}  // namespace word_count
