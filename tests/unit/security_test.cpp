// What docs/security.md says of the memory and the descriptors of a pool.
#include "pool_tasks.hpp"

#include <algorithm>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <set>
#include <sys/stat.h>

#include <retinue/shared_array.hpp>

namespace retinue_test {
namespace {

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
    struct stat status {};
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

TEST(Security, nothing_shared_is_executable) {
  Busy busy;
  std::vector<pid_t> pids = busy.processes();
  pids.push_back(::getpid());
  for (const pid_t pid : pids) {
    const auto lines = mappings_of(pid);
    EXPECT_FALSE(lines.empty()) << pid;
    for (const std::string& line : lines) EXPECT_EQ(line.substr(line.find(' '), 5).find('x'), std::string::npos) << line;
  }
}

TEST(Security, a_pool_has_no_names) {
  const char* const folders[] = {"/dev/shm", "/dev/mqueue", "/run/shm", "/tmp", "/var/tmp"};
  std::map<std::string, std::set<std::string>> before;
  for (const char* folder : folders) before[folder] = names_in(folder);
  Busy busy;
  for (const char* folder : folders)
    for (const std::string& name : names_in(folder))
      EXPECT_TRUE(before[folder].contains(name) || name.find("retinue") == std::string::npos) << name;
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

}  // namespace
}  // namespace retinue_test
