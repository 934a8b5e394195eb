// The Mandelbrot set, a row a task, written as a PNG: mandelbrot [FILE]
#include <retinue/retinue.hpp>

#include <png.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <complex>
#include <cstdint>
#include <iostream>
#include <iterator>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

constexpr int kWidth = 900, kHeight = 600, kMaxSteps = 300;
using Row = std::vector<std::uint8_t>;  // red, green, blue, red, ...

std::uint8_t shade(double x) { return static_cast<std::uint8_t>(255 * std::clamp(x, 0.0, 1.0)); }

Row row(int y) {
  Row pixels;
  pixels.reserve(3 * kWidth);
  for (int x = 0; x < kWidth; ++x) {
    const std::complex<double> c(-2.2 + 3.2 * x / kWidth, -1.07 + 2.14 * y / kHeight);
    std::complex<double> z;
    int step = 0;
    while (step < kMaxSteps && std::norm(z) < 64) {
      z = z * z + c;
      ++step;
    }
    // Black inside; outside a smooth measure of how soon a point escapes.
    const double t = step == kMaxSteps ? 0 : std::sqrt((step + 1 - std::log2(std::log(std::norm(z)))) / 60);
    pixels.insert(pixels.end(), {shade(1.6 * t * t), shade(1.2 * t * t * t), shade(1.5 * t)});
  }
  return pixels;
}

png_image describe() {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = kWidth;
  image.height = kHeight;
  image.format = PNG_FORMAT_RGB;
  return image;
}

int main(int argc, char** argv) {
  const std::string file = argc > 1 ? argv[1] : "mandelbrot.png";
  retinue::ProcessPool pool;

  // Rows in the middle take far longer than those at the edges. Nothing needs to be done about that:
  // a worker takes the next row when it is done with one.
  Row picture;
  for (const Row& pixels : pool.map(row, std::views::iota(0, kHeight)))
    std::ranges::copy(pixels, std::back_inserter(picture));

  png_image image = describe();
  if (png_image_write_to_file(&image, file.c_str(), 0, picture.data(), 0, nullptr) == 0)
    throw std::runtime_error(file + ": " + image.message);
  std::cout << file << ": " << kWidth << " x " << kHeight << " pixels by " << pool.workers() << " workers\n";

  // What was written is what was computed, and the origin lies in the set.
  png_image again = describe();
  Row reread(picture.size());
  if (png_image_begin_read_from_file(&again, file.c_str()) == 0 ||
      png_image_finish_read(&again, nullptr, reread.data(), 0, nullptr) == 0)
    throw std::runtime_error(file + ": " + again.message);
  assert(reread == picture);
  const std::size_t origin = 3 * (static_cast<std::size_t>(kHeight / 2) * kWidth + kWidth * 22 / 32);
  assert(picture[origin] == 0 && picture[origin + 1] == 0 && picture[origin + 2] == 0);
  assert(std::ranges::equal(row(kHeight / 3),
                            std::views::drop(picture, 3 * kWidth * (kHeight / 3)) | std::views::take(3 * kWidth)));
}
