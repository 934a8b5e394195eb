// Types of a program's own, as the decoder meets them: aggregates, classes with a Codec, cereal's way.
#pragma once

#include "unit/generated_values.hpp"

#include <retinue/cereal.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace retinue_fuzz {

enum class Shade : unsigned char { light, dark };
enum class Truth : bool { no, yes };
struct Nothing {};
struct Point {
  double x, y;
};
struct Switch {
  int id;
  bool on;
  Truth truth;
  bool others[3];
};
struct alignas(64) Wide {
  int x;
};
struct Leaf {
  std::string s;
  int a[3];
  std::optional<double> d;
};
struct Tree {
  int value;
  std::vector<Tree> children;
  std::unique_ptr<Leaf> leaf;
};
struct Chain {
  std::unique_ptr<Chain> next;
};
struct Arrays {
  char tag;
  int grid[2][3];
  std::string names[2];
  bool flags[3];
  Switch switches[2];
  Point points[2];
};
using Either = std::variant<int, std::optional<std::tuple<char, std::string, Leaf>>, std::vector<bool>>;
using Nested = std::map<std::string, std::vector<Either>>;

struct Counter {
  virtual ~Counter() = default;
  int next() { return start += step; }
  virtual int virtual_next() { return next(); }
  int start = 0, step = 1;
};
inline int twice(int x) { return 2 * x; }
inline int thrice(int x) { return 3 * x; }

/// Not trivial, and written as no bytes at all.
struct Silent {
  Silent() {}
  Silent(const Silent&) {}
  Silent& operator=(const Silent&) { return *this; }
  bool operator==(const Silent&) const { return true; }
  void generate(retinue_test::Generator&) {}
};

/// Has an invariant, which its Codec checks: corners are at most 100 and sorted.
class Polygon {
 public:
  Polygon() = default;
  Polygon(std::string name, std::vector<std::pair<int, int>> corners)
      : name_(std::move(name)), corners_(std::move(corners)) {}
  static bool allows(const std::vector<std::pair<int, int>>& corners) {
    return corners.size() <= 100 && std::is_sorted(corners.begin(), corners.end());
  }
  const std::string& name() const { return name_; }
  const std::vector<std::pair<int, int>>& corners() const { return corners_; }
  bool operator==(const Polygon&) const = default;
  void generate(retinue_test::Generator& g) {
    g.fill(name_);
    corners_.resize(g.below(4));
    for (auto& corner : corners_) g.fill(corner);
    std::sort(corners_.begin(), corners_.end());
  }

 private:
  std::string name_;
  std::vector<std::pair<int, int>> corners_;
};

/// Written by what it offers to cereal; its count comes from the payload.
class Particle {
 public:
  bool operator==(const Particle&) const = default;
  void generate(retinue_test::Generator& g) {
    g.fill(mass_);
    names_.resize(g.below(4));
    for (auto& name : names_) g.fill(name);
  }
  struct SizeTag {
    explicit SizeTag(std::uint64_t& n) : size(n) {}
    std::uint64_t& size;
  };
  template <class Archive>
  void save(Archive& archive) const {
    std::uint64_t n = names_.size();
    archive(mass_, SizeTag(n));
    for (const auto& name : names_) archive(name);
  }
  template <class Archive>
  void load(Archive& archive) {
    std::uint64_t n = 0;
    archive(mass_, SizeTag(n));
    names_.resize(n);
    for (auto& name : names_) archive(name);
  }

 private:
  int mass_ = 0;
  std::vector<std::string> names_;
};

}  // namespace retinue_fuzz

template <>
struct retinue::Codec<retinue_fuzz::Silent> {
  template <class W>
  static void write(W&, const retinue_fuzz::Silent&) {}
  static retinue_fuzz::Silent read(Reader&) { return {}; }
};

template <>
struct retinue::Codec<retinue_fuzz::Polygon> {
  template <class W>
  static void write(W& w, const retinue_fuzz::Polygon& p) {
    w(p.name(), p.corners());
  }
  static retinue_fuzz::Polygon read(Reader& r) {
    auto name = r.value<std::string>();
    auto corners = r.value<std::vector<std::pair<int, int>>>();
    if (!retinue_fuzz::Polygon::allows(corners)) throw CodecError("these are not the corners of a polygon");
    return retinue_fuzz::Polygon(std::move(name), std::move(corners));
  }
};
