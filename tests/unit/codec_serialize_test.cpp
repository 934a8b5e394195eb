// Types with cereal-style functions where cereal is not included.
#include <retinue/cereal.hpp>
#include <retinue/detail/codec/payload.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

template <class T>
T round_trip(const T& value) {
  std::vector<std::byte> memory(retinue::detail::payload_size(value));
  retinue::detail::write_payload(memory.data(), memory.size(), value);
  retinue::Reader r(memory.data(), memory.size());
  return retinue::detail::read_payload<T>(r);
}

struct Point {
  double x = 0, y = 0;
  std::shared_ptr<int> cache;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x, y);
  }
};

class Polygon {
 public:
  void add(Point p) { points_.push_back(std::move(p)); }
  const std::vector<Point>& points() const { return points_; }
  template <class Archive>
  void save(Archive& archive) const {
    archive(name_, points_);
  }
  template <class Archive>
  void load(Archive& archive) {
    archive(name_, points_);
  }

 private:
  std::string name_;
  std::vector<Point> points_;
};

struct NoDefault {
  explicit NoDefault(int) {}
  int* p = nullptr;
  template <class Archive>
  void serialize(Archive&) {}
};

static_assert(retinue::Travels<Polygon>);
static_assert(!retinue::Travels<NoDefault>, "there would be nothing to load into");
static_assert(!retinue::Travels<int*> && retinue::Travels<std::vector<int>>, "the adapter changes nothing else");

TEST(SerializeAdapter, types_travel_without_cereal) {
  Polygon p;
  p.add({1, 2, std::make_shared<int>(3)});
  p.add({3, 4, nullptr});
  const Polygon q = round_trip(p);
  ASSERT_EQ(q.points().size(), 2u);
  EXPECT_EQ(q.points()[1].y, 4);
  EXPECT_EQ(q.points()[0].cache, nullptr);
}

}  // namespace
