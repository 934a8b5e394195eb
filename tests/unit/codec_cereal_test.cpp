// Types with cereal's serialisation functions, using what cereal itself offers them. Without cereal:
// codec_serialize_test.cpp.
#if __has_include(<cereal/cereal.hpp>)
#include <cereal/access.hpp>
#include <cereal/cereal.hpp>
#include <cereal/types/base_class.hpp>
#include <cereal/types/polymorphic.hpp>
#include <cereal/types/vector.hpp>

#include <retinue/cereal.hpp>
#include <retinue/detail/codec/payload.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace {

template <class T>
T round_trip(const T& value) {
  const std::size_t n = retinue::detail::payload_size(value);
  const std::unique_ptr<std::byte[]> memory(new std::byte[n]);
  retinue::detail::write_payload(memory.get(), n, value);
  retinue::Reader r(memory.get(), n);
  return retinue::detail::read_payload<T>(r);
}

struct Particle {
  double mass = 0;
  std::string name;
  std::shared_ptr<int> cache;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(mass, name);
  }
};

struct Named {
  int x = 0;
  std::vector<Particle> parts;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(CEREAL_NVP(x), cereal::make_nvp("parts", parts));
  }
};

struct Ampersand {
  int a = 0;
  std::string b;
  void* p = nullptr;
  template <class Archive>
  void serialize(Archive& archive, const unsigned int) {
    archive & a & b;
  }
};

struct Split {
  std::vector<int> v;
  int* p = nullptr;
  template <class Archive>
  void save(Archive& archive) const {
    archive(cereal::make_size_tag(static_cast<cereal::size_type>(v.size())));
    for (int i : v) archive(i);
  }
  template <class Archive>
  void load(Archive& archive) {
    cereal::size_type n = 0;
    archive(cereal::make_size_tag(n));
    v.resize(n);
    for (int& i : v) archive(i);
  }
};

class Secret {
 public:
  Secret() = default;
  explicit Secret(int x) : x_(x) {}
  int x() const { return x_; }

 private:
  friend class cereal::access;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x_);
  }
  int x_ = 0;
  int* p_ = nullptr;
};

struct Versioned {
  int old_field = 0, new_field = 0;
  int* p = nullptr;
  template <class Archive>
  void serialize(Archive& archive, const std::uint32_t version) {
    archive(old_field);
    if (version >= 3) archive(new_field);
  }
};

struct Free {
  int x = 0;
  int* p = nullptr;
};
template <class Archive>
void serialize(Archive& archive, Free& f) {
  archive(f.x);
}

struct FreeSplit {
  std::string s;
  int* p = nullptr;
};
template <class Archive>
void save(Archive& archive, const FreeSplit& f) {
  archive(f.s);
}
template <class Archive>
void load(Archive& archive, FreeSplit& f) {
  archive(f.s);
}

struct Animal {
  virtual ~Animal() = default;
  virtual int legs() const = 0;
  std::string name;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name);
  }
};
struct Dog final : Animal {
  int legs() const override { return 4; }
  int age = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Animal>(this), age);
  }
};

struct Raw {
  double values[4] = {};
  char tag[3] = {};
  int* p = nullptr;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::binary_data(values, sizeof values), tag);
  }
};

/// Looks like cereal's name-value pair, but is a plain value.
struct Setting {
  std::string name;
  double value;
};
struct Settings {
  Setting one{};
  int* p = nullptr;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(one);
  }
};

struct Both {
  int x = 0;
  template <class Archive>
  void serialize(Archive&) {
    throw std::logic_error("the Codec comes first");
  }
};

}  // namespace

CEREAL_CLASS_VERSION(Versioned, 3)

template <>
struct retinue::Codec<Both> {
  template <class W>
  static void write(W& w, const Both& b) {
    w(b.x + 1);
  }
  static Both read(Reader& r) { return Both{r.value<int>()}; }
};

namespace {

TEST(CerealAdapter, a_member_serialize_is_used) {
  Particle p;
  p.mass = 2.5;
  p.name = "muon";
  p.cache = std::make_shared<int>(3);
  const Particle q = round_trip(p);
  EXPECT_EQ(q.mass, 2.5);
  EXPECT_EQ(q.name, "muon");
  EXPECT_EQ(q.cache, nullptr);
}

TEST(CerealAdapter, name_value_pairs_and_containers_of_such_types_travel) {
  Named n;
  n.x = 7;
  n.parts.resize(3);
  n.parts[2].name = "last";
  const Named m = round_trip(n);
  EXPECT_EQ(m.x, 7);
  ASSERT_EQ(m.parts.size(), 3u);
  EXPECT_EQ(m.parts[2].name, "last");
}

TEST(CerealAdapter, the_ampersand_and_a_version_parameter_are_understood) {
  Ampersand a;
  a.a = 3;
  a.b = "b";
  const Ampersand b = round_trip(a);
  EXPECT_EQ(b.a, 3);
  EXPECT_EQ(b.b, "b");
}

TEST(CerealAdapter, save_and_load_with_size_tags_are_understood) {
  Split s;
  s.v = {1, 2, 3};
  EXPECT_EQ(round_trip(s).v, s.v);
}

TEST(CerealAdapter, a_damaged_size_tag_is_refused) {
  alignas(32) std::byte bytes[64];
  std::fill(std::begin(bytes), std::end(bytes), std::byte{0x7f});
  retinue::Reader r(bytes, sizeof bytes);
  EXPECT_THROW(r.value<Split>(), retinue::CodecError);
}

TEST(CerealAdapter, private_functions_are_reached_through_cereal_access) { EXPECT_EQ(round_trip(Secret(9)).x(), 9); }

TEST(CerealAdapter, the_class_version_is_passed) {
  Versioned v;
  v.old_field = 1;
  v.new_field = 2;
  EXPECT_EQ(round_trip(v).new_field, 2);
}

TEST(CerealAdapter, free_functions_are_understood) {
  Free f;
  f.x = 4;
  EXPECT_EQ(round_trip(f).x, 4);
  FreeSplit s;
  s.s = "split";
  EXPECT_EQ(round_trip(s).s, "split");
}

TEST(CerealAdapter, a_base_class_is_written_in_place) {
  Dog d;
  d.name = "Rex";
  d.age = 5;
  const Dog e = round_trip(d);
  EXPECT_EQ(e.name, "Rex");
  EXPECT_EQ(e.age, 5);
}

TEST(CerealAdapter, binary_data_and_arrays_are_understood) {
  Raw a;
  a.values[3] = 1.5;
  a.tag[1] = 'x';
  const Raw b = round_trip(a);
  EXPECT_EQ(b.values[3], 1.5);
  EXPECT_EQ(b.tag[1], 'x');
}

TEST(CerealAdapter, a_plain_value_that_looks_like_a_name_value_pair_keeps_its_name) {
  Settings s;
  s.one = {"speed", 3.0};
  const Settings t = round_trip(s);
  EXPECT_EQ(t.one.name, "speed");
  EXPECT_EQ(t.one.value, 3.0);
}

TEST(CerealAdapter, a_codec_comes_before_serialize) { EXPECT_EQ(round_trip(Both{1}).x, 2); }

}  // namespace
#endif  // cereal is installed
