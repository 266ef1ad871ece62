#include "mda/mbox.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <thread>

#include "tests/support/faulty_disk.h"
#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mda;
using namespace std::chrono_literals;

namespace {
const std::string kEntry = "From a@b Thu Jan  1 00:00:00 1970\nSubject: x\n\nbody\n\n";
std::string content(const std::string& path) { return mail::test::read_path(path); }
}  // namespace

TEST_CASE("messages are appended, whatever the file ended with") {
  mail::test::TemporaryDirectory directory;
  const auto path = directory / "box";
  REQUIRE(append_mbox(Disk::system(), path, kEntry));
  REQUIRE(append_mbox(Disk::system(), path, kEntry));
  CHECK(content(path) == kEntry + kEntry);
  CHECK_FALSE(std::filesystem::exists(path + ".lock"));
  for (const auto& [former, between] :
       std::vector<std::pair<std::string, std::string>>{{"x", "\n\n"}, {"x\n", "\n"}, {"x\n\n", ""}, {"\n", "\n"}}) {
    std::ofstream(path, std::ios::trunc) << former;
    REQUIRE(append_mbox(Disk::system(), path, kEntry));
    CHECK(content(path) == former + between + kEntry);
  }
}

TEST_CASE("what is no plain file is not written to") {
  mail::test::TemporaryDirectory directory;
  std::ofstream(directory / "target") << "";
  symlink((directory / "target").c_str(), (directory / "symlink").c_str());
  link((directory / "target").c_str(), (directory / "hard").c_str());
  mkfifo((directory / "fifo").c_str(), 0600);
  std::filesystem::create_directory(directory / "folder");
  for (const auto* name : {"symlink", "hard", "fifo", "folder"})
    CHECK_FALSE(append_mbox(Disk::system(), directory / name, kEntry));
  CHECK_FALSE(append_mbox(Disk::system(), directory / "no/such", kEntry));
  CHECK_FALSE(append_mbox(Disk::system(), "relative", kEntry));
  CHECK(content(directory / "target").empty());
}

TEST_CASE("other programs' locks are waited for, stale ones broken") {
  mail::test::TemporaryDirectory directory;
  const auto path = directory / "box";
  std::ofstream(path + ".lock") << "1";
  CHECK(append_mbox(Disk::system(), path, kEntry, {.lock_time = 100ms}).error().kind == Error::Kind::temporary);
  const timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, (path + ".lock").c_str(), old, 0);
  CHECK(append_mbox(Disk::system(), path, kEntry, {.lock_time = 100ms}));
  {
    const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    fcntl(fd.get(), F_OFD_SETLK, &lock);
    CHECK(append_mbox(Disk::system(), path, kEntry, {.lock_time = 100ms}).error().kind == Error::Kind::temporary);
  }
  CHECK(append_mbox(Disk::system(), path, kEntry, {.lock_time = 100ms}));
}

TEST_CASE("many writers at once leave whole messages") {
  mail::test::TemporaryDirectory directory;
  const auto path = directory / "box";
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k)
        if (!append_mbox(Disk::system(), path, kEntry)) std::abort();
    });
  for (auto& thread : threads) thread.join();
  std::string expected;
  for (int i = 0; i < 20; ++i) expected += kEntry;
  CHECK(content(path) == expected);
}

TEST_CASE(
    "power lost, or a call failing, after any number of calls: the former messages stay, an acknowledged one is "
    "there") {
  for (const int error : {0, ENOSPC, EIO})
    for (int calls = 0;; ++calls) {
      mail::test::TemporaryDirectory directory;
      const auto path = directory / "box";
      std::ofstream(path) << "From old\n\nold\n\n";
      bool acknowledged = false, all_done = false;
      {
        mail::test::FaultyDisk disk(directory.path().string(), calls, error);
        acknowledged = append_mbox(disk, path, kEntry).has_value();
        all_done = !disk.stopped();
        if (error == 0) disk.lose_power();
      }
      INFO(calls << " calls, error " << error);
      const auto found = content(path);
      CHECK(found.starts_with("From old\n\nold\n\n"));
      if (acknowledged)
        CHECK(found == "From old\n\nold\n\n" + kEntry);
      else if (error != 0)
        CHECK((found == "From old\n\nold\n\n" || found == "From old\n\nold\n\n" + kEntry));
      if (all_done) break;
    }
}
