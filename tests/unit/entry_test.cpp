// Functions named by (module, offset) across fork, between tables, and in libraries loaded late.
#include <retinue/detail/codec/entry.hpp>
#include <retinue/error.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace entry_test {

using namespace retinue::detail;

int triple(int x) { return 3 * x; }
int negate(int x) { return -x; }
template <class T>
T twice(T x) {
  return x + x;
}

const void* address(int (*f)(int)) { return reinterpret_cast<const void*>(f); }
int call(const void* code, int x) { return reinterpret_cast<int (*)(int)>(const_cast<void*>(code))(x); }

/// A table in memory that children share.
class SharedTable {
 public:
  SharedTable()
      : table_(new(::mmap(nullptr, sizeof(ModuleTable), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                   ModuleTable) {}
  ~SharedTable() {
    detach_modules(*table_);
    ::munmap(table_, sizeof(ModuleTable));
  }
  ModuleTable& operator*() const { return *table_; }
  ModuleTable* get() const { return table_; }

 private:
  ModuleTable* table_;
};

/// A child process that waits for a name and then runs `body` on it; its exit code is the answer.
class Child {
 public:
  explicit Child(const std::function<int(EntryRef)>& body) {
    EXPECT_EQ(::pipe(pipe_), 0);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::alarm(20);  // a child that hangs is a failed test
    EntryRef ref;
    if (::read(pipe_[0], &ref, sizeof ref) != sizeof ref) ::_exit(100);
    try {
      ::_exit(body(ref));
    } catch (const std::exception& e) {
      ::_exit(std::strstr(e.what(), "libretinue_late") != nullptr ? 42 : 43);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!answered_) answer(EntryRef{});
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  int answer(EntryRef ref) {
    answered_ = true;
    EXPECT_EQ(::write(pipe_[1], &ref, sizeof ref), static_cast<ssize_t>(sizeof ref));
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  int pipe_[2];
  pid_t pid_;
  bool answered_ = false;
};

/// A copy of a small system library under a name nothing has loaded; removed at the end.
class LateLibrary {
 public:
  LateLibrary() {
    char pattern[] = "/tmp/retinue_entry_XXXXXX";
    folder_ = ::mkdtemp(pattern);
    Dl_info libc;
    ::dladdr(::dlsym(RTLD_DEFAULT, "getpid"), &libc);
    const auto original = std::filesystem::canonical(libc.dli_fname).parent_path() / "libBrokenLocale.so.1";
    if (!std::filesystem::exists(original)) return;
    std::filesystem::copy_file(original, path());
    handle_ = ::dlopen(path().c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  ~LateLibrary() { std::filesystem::remove_all(folder_); }  // stays loaded: names must stay good
  bool loaded() const { return handle_ != nullptr; }
  std::string path() const { return folder_ + "/libretinue_late.so"; }
  const void* function() const { return ::dlsym(handle_, "__ctype_get_mb_cur_max"); }

 private:
  std::string folder_;
  void* handle_ = nullptr;
};

TEST(Entry, a_function_is_found_again_by_its_name) {
  const EntryRef ref = name_code(address(triple));
  EXPECT_TRUE(static_cast<bool>(ref));
  EXPECT_EQ(call(find_code(nullptr, ref), 5), 15);
  EXPECT_EQ(name_code(address(triple)), ref);
  EXPECT_NE(name_code(address(negate)), ref);
  EXPECT_EQ(call(find_code(nullptr, name_code(address(twice<int>))), 5), 10);
}

TEST(Entry, a_portable_name_is_found_with_and_without_a_table) {
  SharedTable table;
  attach_modules(*table);
  const CodeName name = portable_name(address(triple));
  EXPECT_EQ(call(find_code(nullptr, name), 2), 6);
  EXPECT_EQ(call(find_code(table.get(), name), 2), 6);
  EXPECT_THROW(find_code(table.get(), CodeName{name.module + 1, name.offset}), retinue::Error);
  EXPECT_THROW(find_code(table.get(), CodeName{name.module, std::uint64_t{1} << 40}), retinue::CodecError);
}

TEST(Entry, an_address_outside_any_module_has_no_name) {
  int on_the_stack = 0;
  EXPECT_THROW(name_code(&on_the_stack), retinue::Error);
  EXPECT_THROW(name_code(nullptr), retinue::Error);
  static int data = 0;
  EXPECT_THROW(name_code(&data), retinue::Error);
}

TEST(Entry, a_damaged_name_is_refused) {
  SharedTable table;
  attach_modules(*table);
  const EntryRef good = name_code(address(triple));
  for (const ModuleTable* where :
       {static_cast<const ModuleTable*>(nullptr), static_cast<const ModuleTable*>(table.get())}) {
    EXPECT_THROW(find_code(where, EntryRef{}), retinue::CodecError) << "the ELF header is not code";
    EXPECT_THROW(find_code(where, EntryRef{~std::uint64_t{0}}), retinue::CodecError);
    EXPECT_THROW(find_code(where, EntryRef::make(kMaxModules, good.offset())), retinue::CodecError);
    EXPECT_THROW(find_code(where, EntryRef::make(kMaxModules - 1, good.offset())), retinue::CodecError);
    EXPECT_THROW(find_code(where, EntryRef::make(good.module(), std::uint64_t{1} << 40)), retinue::CodecError);
  }
}

TEST(Entry, many_names_from_many_threads_agree) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&wrong] {
      for (int i = 0; i < 1000; ++i) {
        if (call(find_code(nullptr, name_code(address(triple))), i) != 3 * i) ++wrong;
        if (call(find_code(nullptr, name_code(address(negate))), i) != -i) ++wrong;
        if (!name_code(reinterpret_cast<const void*>(&::getpid))) ++wrong;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Entry, a_worker_resolves_through_the_owners_table) {
  SharedTable table;
  attach_modules(*table);
  Child worker([&table](EntryRef ref) { return call(find_code(table.get(), ref), 7); });
  EXPECT_EQ(worker.answer(name_code(address(triple))), 21);
}

TEST(Entry, a_library_loaded_after_the_fork_is_loaded_by_the_worker) {
  SharedTable table;
  attach_modules(*table);
  const auto resolve_twice = [&table](EntryRef ref) {
    const void* first = find_code(table.get(), ref);
    return call(first, 0) + (find_code(table.get(), ref) == first ? 8 : 7);
  };
  Child worker(resolve_twice);
  const LateLibrary late;
  if (!late.loaded()) GTEST_SKIP() << "no libBrokenLocale.so.1 to copy";
  EXPECT_EQ(worker.answer(name_code(late.function())), 9);  // __ctype_get_mb_cur_max() is 1
}

TEST(Entry, a_library_that_is_gone_or_changed_is_an_error_with_its_path) {
  SharedTable table;
  attach_modules(*table);
  const auto resolve = [&table](EntryRef ref) { return find_code(table.get(), ref) != nullptr ? 1 : 0; };
  Child without(resolve);
  Child with_another(resolve);
  const LateLibrary late;
  if (!late.loaded()) GTEST_SKIP() << "no libBrokenLocale.so.1 to copy";
  const EntryRef ref = name_code(late.function());
  std::filesystem::remove(late.path());
  EXPECT_EQ(without.answer(ref), 42);
  std::filesystem::copy_file("/lib64/ld-linux-x86-64.so.2", late.path(),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(with_another.answer(ref), 42);
}

TEST(Entry, a_child_does_not_publish_to_its_parents_table) {
  SharedTable table;
  attach_modules(*table);
  const std::uint32_t before = (*table).count;
  Child child([](EntryRef) {
    const LateLibrary late;
    name_code(late.function());
    return 0;
  });
  EXPECT_EQ(child.answer(EntryRef{1}), 0);
  EXPECT_EQ((*table).count, before);
}

TEST(Entry, a_worker_may_read_one_table_and_own_another) {
  SharedTable outer;
  attach_modules(*outer);
  Child worker([&outer](EntryRef ref) {
    // Number a module that the owner has at the same index under another name: the caches must not mix.
    const LateLibrary mine;
    SharedTable inner;
    attach_modules(*inner);
    const EntryRef own = name_code(mine.function());
    const bool same_index = own.module() == ref.module();
    const void* theirs = find_code(outer.get(), ref);
    const void* ours = find_code(inner.get(), own);
    const void* again = find_code(outer.get(), ref);
    if (ours != mine.function()) return 2;
    if (theirs != again || theirs == ours) return 3;
    Child grandchild([&inner](EntryRef r) { return call(find_code(inner.get(), r), 0) + 4; });
    if (grandchild.answer(own) != 5) return 4;
    return same_index ? 0 : 1;
  });
  const LateLibrary late;
  if (!late.loaded()) GTEST_SKIP() << "no libBrokenLocale.so.1 to copy";
  EXPECT_EQ(worker.answer(name_code(late.function())), 0);
}

TEST(Entry, detaching_stops_publication) {
  SharedTable table;
  attach_modules(*table);
  detach_modules(*table);
  const std::uint32_t before = (*table).count;
  const LateLibrary late;
  if (!late.loaded()) GTEST_SKIP() << "no libBrokenLocale.so.1 to copy";
  name_code(late.function());
  EXPECT_EQ((*table).count, before);
  attach_modules(*table);
  EXPECT_EQ((*table).count, before + 1);
}

TEST(Entry, forking_while_another_thread_registers_does_not_deadlock_the_child) {
  std::atomic<bool> stop = false;
  std::thread busy([&stop] {
    SharedTable table;
    while (!stop) {
      attach_modules(*table);
      detach_modules(*table);
    }
  });
  for (int i = 0; i < 200; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(10);
      SharedTable table;
      attach_modules(*table);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  stop = true;
  busy.join();
}

}  // namespace entry_test
