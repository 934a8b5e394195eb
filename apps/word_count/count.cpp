#include "count.hpp"

#include <vector>

#include "file.hpp"

namespace word_count {

void count(const Part& part, WordTable& table) {
  static std::vector<char> buffer;  // kept from part to part: fresh pages cost more than reading
  for (const Slice& slice : part.slices) {
    if (buffer.size() < slice.size) buffer.resize(slice.size);
    File file(slice.path);
    table.count({buffer.data(), file.read(slice.offset, {buffer.data(), slice.size})});
  }
}

Counted count_apart(const Part& part) {
  static WordTable table;  // likewise
  table.clear();
  count(part, table);
  return {table.pack(), part.files, part.bytes};
}

}  // namespace word_count
