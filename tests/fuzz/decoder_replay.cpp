// The decoder without libFuzzer, for any compiler; --help says what it does.
#include "fuzz/decoder.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "command_line.hpp"

namespace {

using retinue_fuzz::Input;
using retinue_fuzz::Seed;

constexpr unsigned kSeedRounds = 12;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Damage {
 public:
  explicit Damage(std::uint64_t seed) : random_(seed) {}

  /// Behind the two bytes that say what the payload is: bits flipped, numbers put in, pieces cut out or
  /// repeated, the end cut off.
  void to(Input& input) {
    for (std::size_t n = 1 + below(3); n > 0 && input.size() > 2; --n) once(input);
    if (below(8) == 0) input[1] = static_cast<std::uint8_t>(random_());
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  void once(Input& input) {
    static constexpr std::uint8_t kNumbers[] = {0, 1, 2, 7, 8, 0x7f, 0x80, 0xff};
    const std::size_t at = 2 + below(input.size() - 2);
    const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
    switch (below(6)) {
      case 0: input[at] ^= static_cast<std::uint8_t>(1u << below(8)); break;
      case 1: input[at] = kNumbers[below(std::size(kNumbers))]; break;
      case 2: input.resize(at); break;
      case 3: input.erase(place, place + static_cast<std::ptrdiff_t>(1 + below(input.size() - at))); break;
      case 4: {
        const Input piece(place, place + static_cast<std::ptrdiff_t>(1 + below(input.size() - at)));
        input.insert(place, piece.begin(), piece.end());
        break;
      }
      default:
        for (std::size_t i = at & ~std::size_t{7}; i < input.size() && i < (at & ~std::size_t{7}) + 10; ++i)
          if (i >= 2) input[i] = i < at ? std::uint8_t{0} : kNumbers[below(std::size(kNumbers))];
    }
  }

  std::mt19937_64 random_;
};

void replay(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "%s cannot be read\n", file.c_str());
    std::exit(2);
  }
  const Input input{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  retinue_fuzz::decode(input);
}

void write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::size_t n = 0;
  for (const Seed& seed : retinue_fuzz::seeds(kSeedRounds)) {
    std::ofstream(folder / ("seed-" + std::to_string(n++)), std::ios::binary)
        .write(reinterpret_cast<const char*>(seed.input.data()), static_cast<std::streamsize>(seed.input.size()));
  }
}

/// Says the seed first: what does not hold ends the program.
void damage_all() {
  const std::uint64_t seed = from_environment("RETINUE_TEST_SEED", 1);
  const std::uint64_t rounds = from_environment("RETINUE_TEST_ROUNDS", 40);
  std::printf("RETINUE_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  Damage damage(seed);
  std::size_t n = 0;
  for (const Seed& whole : retinue_fuzz::seeds(kSeedRounds)) {
    retinue_fuzz::decode(whole.input);
    for (std::uint64_t i = 0; i < rounds; ++i, ++n) {
      Input input = whole.input;
      damage.to(input);
      retinue_fuzz::decode(input);
    }
  }
  std::printf("%zu damaged payloads\n", n);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> files;
  std::string seeds_folder;
  retinue_command_line::CommandLine line(
      "decoder_replay",
      "Decodes payloads of everything, and each of them damaged in many ways; or, if FILEs are named, those.\n"
      "RETINUE_TEST_SEED=n in the environment damages them in other ways; RETINUE_TEST_ROUNDS=n in more.");
  CLI::Option* inputs =
      line.add_option("FILE", files, "inputs that the fuzzer kept")->option_text("...")->check(CLI::ExistingFile);
  line.add_option("--seeds", seeds_folder, "writes the undamaged payloads there, for the fuzzer to begin with")
      ->option_text("FOLDER")
      ->excludes(inputs);
  if (const auto status = line.parse_or_end(argc, argv)) return *status;

  if (!seeds_folder.empty()) {
    write_seeds(seeds_folder);
  } else if (!files.empty()) {
    for (const std::string& file : files) replay(file);
  } else {
    damage_all();
  }
}
