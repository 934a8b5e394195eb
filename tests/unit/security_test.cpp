// What docs/security.md says of the memory and the descriptors of a pool.
#include "pool_tasks.hpp"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <retinue/shared_array.hpp>

namespace retinue_test {
namespace security_test {

namespace fs = std::filesystem;

using Links = std::map<int, std::string>;

// Where the descriptors of a process lead.
Links descriptors_of(pid_t pid) {
  Links links;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    std::error_code gone;
    const fs::path target = fs::read_symlink(entry.path(), gone);
    if (!gone) links[std::stoi(entry.path().filename())] = target;
  }
  return links;
}

bool is_ours(std::string_view link) { return link.starts_with("/memfd:retinue"); }

std::set<std::string> names_in(const char* folder) {
  std::set<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) names.insert(entry.path());
  return names;
}

// The sockets among them.
std::vector<std::string> sockets_of(const Links& links) {
  std::vector<std::string> found;
  for (const auto& [fd, link] : links)
    if (link.starts_with("socket:")) found.push_back(link);
  return found;
}

std::vector<std::string> mappings_of(pid_t pid) {
  std::vector<std::string> lines;
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("/memfd:retinue") != std::string::npos) lines.push_back(line);
  return lines;
}

pid_t server_of(retinue::ProcessPool& pool) { return pool.submit(::getppid).get(); }

// The pool, its workers and its fork server, at work.
struct Busy {
  retinue::ProcessPool pool{2};
  retinue::SharedArray<double> array{1'000'000};
  std::vector<double> large =
      pool.submit([](const std::vector<double>& v) { return v; }, std::vector<double>(500'000, 1.0)).get();
  std::vector<pid_t> processes() {
    std::vector<pid_t> pids = pool.worker_pids();
    pids.push_back(server_of(pool));
    return pids;
  }
};

TEST(Security, shared_memory_is_sealed_and_nobody_elses) {
  Busy busy;
  int seen = 0;
  for (const auto& [fd, link] : descriptors_of(::getpid())) {
    if (!is_ours(link)) continue;
    ++seen;
    struct stat status{};
    ASSERT_EQ(::fstat(fd, &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode_t{S_IRUSR | S_IWUSR}) << link;
    const int seals = ::fcntl(fd, F_GET_SEALS);
    EXPECT_EQ(seals & (F_SEAL_SHRINK | F_SEAL_SEAL), F_SEAL_SHRINK | F_SEAL_SEAL) << link;
    EXPECT_EQ(seals & (F_SEAL_GROW | F_SEAL_WRITE), 0) << link;
    EXPECT_EQ(::ftruncate(fd, 0), -1) << link;
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1) << link;
    EXPECT_EQ(::fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC) << link;
  }
  EXPECT_GE(seen, 1);
}

TEST(Security, shared_memory_is_no_program_and_cannot_be_made_one) {
  Busy busy;
  for (const auto& [fd, link] : descriptors_of(::getpid())) {
    if (!is_ours(link)) continue;
    char* const words[] = {const_cast<char*>("retinue"), nullptr};
    EXPECT_EQ(::syscall(SYS_execveat, fd, "", words, words + 1, AT_EMPTY_PATH), -1) << link;
    EXPECT_EQ(errno, EACCES) << link;
    constexpr int kSealExec = 0x20;  // F_SEAL_EXEC, which kernels have since 6.3
    if ((::fcntl(fd, F_GET_SEALS) & kSealExec) == 0) continue;
    EXPECT_EQ(::fchmod(fd, 0700), -1) << link;
    EXPECT_EQ(errno, EPERM) << link;
  }
}

TEST(Security, a_worker_cannot_shrink_the_memory_under_the_others) {
  Busy busy;
  int tried = 0;
  for (const auto& [fd, link] : descriptors_of(::getpid())) {
    if (!is_ours(link)) continue;
    ++tried;
    // A worker that made a new descriptor of the file would get no further: the seal is the file's.
    EXPECT_EQ(busy.pool.submit([](int its) { return ::ftruncate(its, 0) == 0 ? 0 : errno; }, fd).get(), EPERM) << link;
  }
  EXPECT_GE(tried, 1);
}

TEST(Security, another_user_cannot_open_it) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  Busy busy;
  // Not even where /proc shows the way, as it does to a process that inherited the descriptors.
  std::vector<std::string> paths;
  for (const auto& [fd, link] : descriptors_of(::getpid()))
    if (is_ours(link)) paths.push_back("/proc/self/fd/" + std::to_string(fd));
  ASSERT_GE(paths.size(), 2u);
  for (const std::string& path : paths) {
    const int own = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_GE(own, 0) << path << ": the way is right";
    if (own >= 0) ::close(own);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setgid(64999) != 0 || ::setuid(64999) != 0) ::_exit(2);
    for (const std::string& path : paths)
      if (::open(path.c_str(), O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES) ::_exit(3);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Security, the_region_is_left_out_of_core_dumps) {
  Busy busy;
  std::vector<pid_t> pids = busy.processes();
  pids.push_back(::getpid());
  for (const pid_t pid : pids) {
    std::ifstream smaps("/proc/" + std::to_string(pid) + "/smaps");
    bool of_region = false;
    int seen = 0;
    for (std::string line; std::getline(smaps, line);) {
      if (line.find('-') < line.find(' ')) of_region = line.find("/memfd:retinue ") != line.npos;
      if (!of_region || line.find("VmFlags:") != 0) continue;
      ++seen;
      EXPECT_NE((line + " ").find(" dd "), std::string::npos) << pid << ": " << line;
    }
    EXPECT_GE(seen, 1) << pid;
  }
}

TEST(Security, programs_that_tasks_start_have_none_of_a_pools_descriptors) {
  const Links before = descriptors_of(::getpid());
  Busy busy;
  const std::string listing = busy.pool
                                  .submit([] {
                                    std::string text;
                                    FILE* const list = ::popen("for f in /proc/self/fd/*; do readlink $f; done", "r");
                                    if (list == nullptr) return text;
                                    char bytes[4096];
                                    for (std::size_t n; (n = std::fread(bytes, 1, sizeof bytes, list)) > 0;)
                                      text.append(bytes, n);
                                    ::pclose(list);
                                    return text;
                                  })
                                  .get();
  EXPECT_NE(listing.find('/'), std::string::npos) << "there is something to see: " << listing;
  EXPECT_EQ(listing.find("/memfd:retinue"), std::string::npos) << listing;
  for (const char* kind : {"anon_inode:[eventfd]", "anon_inode:[pidfd]", "anon_inode:[signalfd]"}) {
    const bool had =
        std::any_of(before.begin(), before.end(), [kind](const auto& entry) { return entry.second == kind; });
    EXPECT_TRUE(had || listing.find(kind) == std::string::npos) << listing;
  }
}

TEST(Security, nothing_shared_is_executable) {
  Busy busy;
  std::vector<pid_t> pids = busy.processes();
  pids.push_back(::getpid());
  for (const pid_t pid : pids) {
    const auto lines = mappings_of(pid);
    EXPECT_FALSE(lines.empty()) << pid;
    for (const std::string& line : lines)
      EXPECT_EQ(line.substr(line.find(' '), 5).find('x'), std::string::npos) << line;
  }
}

TEST(Security, a_pool_has_no_names) {
  // Not in /tmp: there other programs make names as they please.
  const char* const folders[] = {"/dev/shm", "/dev/mqueue", "/run/shm"};
  std::map<std::string, std::set<std::string>> before;
  for (const char* folder : folders) before[folder] = names_in(folder);
  Busy busy;
  for (const char* folder : folders)
    for (const std::string& name : names_in(folder))
      EXPECT_TRUE(before[folder].contains(name) || name.find("retinue") == std::string::npos) << name;
}

TEST(Security, what_a_pool_shares_lies_in_no_file_that_has_a_name) {
  const auto shared_files = [](pid_t pid) {
    std::set<std::string> files;
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    for (std::string line; std::getline(maps, line);)
      if (line.substr(line.find(' ') + 4, 1) == "s")
        files.insert(line.find('/') != line.npos ? line.substr(line.find('/')) : "");
    return files;
  };
  const std::set<std::string> before = shared_files(::getpid());
  Busy busy;
  std::vector<pid_t> pids = busy.processes();
  pids.push_back(::getpid());
  for (const pid_t pid : pids) {
    const std::set<std::string> files = shared_files(pid);
    EXPECT_FALSE(files.empty()) << pid;
    for (const std::string& file : files) EXPECT_TRUE(is_ours(file) || before.contains(file)) << pid << ": " << file;
  }
}

TEST(Security, what_a_pool_adds_to_its_processes_comes_from_their_owner_and_is_no_socket) {
  const Links before = descriptors_of(::getpid());
  Busy busy;
  for (const pid_t pid : busy.processes()) {
    const Links links = descriptors_of(pid);
    EXPECT_EQ(sockets_of(links), sockets_of(before));
    for (const auto& [fd, link] : links) {
      if (const auto same = before.find(fd); same != before.end() && same->second == link) continue;
      const bool known = is_ours(link) || link == "anon_inode:[eventfd]" || link == "anon_inode:[pidfd]" ||
                         link == "anon_inode:[signalfd]";
      EXPECT_TRUE(known) << fd << " -> " << link;
    }
  }
}

}  // namespace security_test
}  // namespace retinue_test
