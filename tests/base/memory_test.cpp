// What a process gives back: memory it does not use, and its turn at the processor.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/memory.h"
#include "base/priority.h"

using namespace mail;

namespace {

/// kB of a line of /proc/self/smaps_rollup.
long memory_of(const std::string& what) {
  std::ifstream file("/proc/self/smaps_rollup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(what + ":")) return std::stol(line.substr(what.size() + 1));
  return -1;
}

int own_nice() { return getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())); }

}  // namespace

TEST_CASE("code that is dropped comes back when it is used, also under running threads") {
  std::atomic<bool> stop{false};
  std::atomic<long> turns{0};
  std::thread other([&] {
    while (!stop) turns += static_cast<long>(std::to_string(turns).size() > 0);
  });
  const auto before = memory_of("Rss") - memory_of("Anonymous");
  for (int i = 0; i < 20; ++i) drop_unused_code();
  const auto after = memory_of("Rss") - memory_of("Anonymous");
  const long then = turns;
  while (turns == then) std::this_thread::yield();
  stop = true;
  other.join();
  REQUIRE(before > 0);
  CHECK(after < before);
}

#ifdef __has_feature
#define SANITIZED __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#else
#define SANITIZED 0
#endif
#if defined(__GLIBC__) && !(SANITIZED)  // their malloc is not glibc's
TEST_CASE("a trimmed heap has given back what was free between what is used") {
  std::vector<std::unique_ptr<std::string>> all;
  for (int i = 0; i < 40000; ++i) all.push_back(std::make_unique<std::string>(1000, 'x'));
  for (std::size_t i = 0; i < all.size(); ++i)
    if (i % 100 != 0) all[i].reset();
  const auto before = memory_of("Anonymous");
  trim_heap();
  CHECK(memory_of("Anonymous") < before - 10000);
  CHECK(*all[39900] == std::string(1000, 'x'));
}
#endif

TEST_CASE("only the thread that gives way becomes nice") {
  const int before = own_nice();
  int in_thread = 0;
  std::thread([&] {
    give_way();
    in_thread = own_nice();
  }).join();
  CHECK(in_thread == std::max(before, 10));
  CHECK(own_nice() == before);
}
