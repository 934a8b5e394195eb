// Types of your own on the way to a worker and back.
#include <retinue/cereal.hpp>  // for types with a `serialize`; cereal itself need not be installed
#include <retinue/retinue.hpp>

#include <cassert>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// A plain aggregate of what travels needs nothing.
struct Station {
  std::string name;
  std::vector<double> readings;
  std::optional<double> height;
};

// A class that hides its members says in a Codec what to write and how to be made again.
class Polygon {
 public:
  using Point = std::pair<double, double>;
  explicit Polygon(std::vector<Point> corners) : corners_(std::move(corners)) {}
  const std::vector<Point>& corners() const { return corners_; }

 private:
  std::vector<Point> corners_;
};

template <>
struct retinue::Codec<Polygon> {
  template <class W>
  static void write(W& w, const Polygon& p) {
    w(p.corners());
  }
  static Polygon read(Reader& r) {
    auto corners = r.value<std::vector<Polygon::Point>>();
    if (corners.size() < 3) throw CodecError("a polygon with fewer than three corners");
    return Polygon(std::move(corners));
  }
};

// A class that cereal can serialise travels by the function it has for that. Here it decides that the
// cache stays at home.
class Spline {
 public:
  Spline() = default;
  explicit Spline(std::vector<double> knots) : knots_(std::move(knots)) {}
  double length() {
    if (!cache_) cache_ = std::make_shared<double>(knots_.back() - knots_.front());
    return *cache_;
  }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(knots_);
  }

 private:
  std::vector<double> knots_;
  std::shared_ptr<double> cache_;
};

double mean(const Station& station) {
  double sum = 0;
  for (const double reading : station.readings) sum += reading;
  return sum / static_cast<double>(station.readings.size());
}

double area(const Polygon& p) {
  const auto& c = p.corners();
  double twice = 0;
  for (std::size_t i = 0, j = c.size() - 1; i < c.size(); j = i++)
    twice += c[j].first * c[i].second - c[i].first * c[j].second;
  return std::abs(twice) / 2;
}

Polygon doubled(const Polygon& p) {
  std::vector<Polygon::Point> corners;
  for (const auto& [x, y] : p.corners()) corners.emplace_back(2 * x, 2 * y);
  return Polygon(std::move(corners));
}

int main() {
  // Whether a type travels is known when the program is compiled.
  static_assert(retinue::Travels<Station> && retinue::Travels<Polygon> && retinue::Travels<Spline>);
  static_assert(!retinue::Travels<int*> && !retinue::Travels<std::shared_ptr<int>>);

  retinue::ProcessPool pool(2);
  std::cout << "mean: " << pool.submit(mean, Station{"pier", {1.5, 2.5}, 3.0}).get() << '\n';
  assert(pool.submit(mean, Station{"pier", {1.5, 2.5}, {}}).get() == 2.0);

  const Polygon square({{0, 0}, {1, 0}, {1, 1}, {0, 1}});
  const Polygon larger = pool.submit(doubled, square).get();
  std::cout << "area: " << area(square) << ", doubled: " << pool.submit(area, larger).get() << '\n';
  assert(pool.submit(area, larger).get() == 4.0);

  const double length = pool.submit([](Spline s) { return s.length(); }, Spline({1.0, 2.0, 4.5})).get();
  std::cout << "length: " << length << '\n';
  assert(length == 3.5);
}
