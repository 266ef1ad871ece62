// APPENDs of several threads into one mailbox: they share a change and a flush, and each gets its own answer.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/store/support.h"
#include "tests/support/full_disk.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

/// Flushes slowly, so that others come meanwhile; refuses to rename what has `poison` in its name.
class BusyDisk final : public mail::test::FullDisk {
 public:
  std::atomic<int> flushes{0};
  std::atomic<bool> broken{false};
  Status sync_filesystem(const Directory&) override {
    ++flushes;
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    return broken ? fail_errno("flushing", "the disk", EIO) : Status{};
  }
  Status rename(const Directory& from, const std::string& old_name, const Directory& to,
                const std::string& new_name) override {
    if (new_name.find("poison") != std::string::npos) return fail_errno("renaming", new_name, EIO);
    return FullDisk::rename(from, old_name, to, new_name);
  }
};

StoreSettings flushing() {
  auto settings = quick_settings();
  settings.flush = true;
  settings.watch = false;
  return settings;
}

constexpr int kThreads = 6, kRounds = 10;

/// Each thread appends kRounds times two messages with its own names; `poisoned` of them with ids that BusyDisk
/// refuses. Gives the outcomes by thread.
std::vector<std::vector<Result<CopyOutcome>>> append_at_once(Account& account, int poisoned) {
  std::vector<std::vector<Result<CopyOutcome>>> out(kThreads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      for (int round = 0; round < kRounds; ++round) {
        const auto name = std::to_string(thread) + "-" + std::to_string(round);
        const auto first = simple_message(name + "-a"), second = simple_message(name + "-b");
        std::array<NewMessage, 2> messages;
        messages[0].octets = first;
        messages[1].octets = second;
        if (thread < poisoned) messages[1].id = "poison" + name;
        out[static_cast<std::size_t>(thread)].push_back(account.append("INBOX", messages));
      }
    });
  for (auto& thread : threads) thread.join();
  return out;
}

}  // namespace

TEST_CASE("messages appended at once share flushes, and each client gets the UIDs of its own") {
  mail::test::TemporaryDirectory dir;
  BusyDisk disk;
  Bench bench(dir / "Maildir", flushing(), disk);
  const auto outcomes = append_at_once(*bench.account, 2);
  CHECK(disk.flushes < kThreads * kRounds);
  auto view = bench.select();
  CHECK(view->exists() == 2 * kRounds * (kThreads - 2));
  UidSet seen;
  for (std::size_t thread = 0; thread < kThreads; ++thread)
    for (std::size_t round = 0; round < kRounds; ++round) {
      const auto& outcome = outcomes[thread][round];
      INFO("thread " << thread << " round " << round);
      REQUIRE(outcome.has_value() == (thread >= 2));
      if (!outcome) {
        CHECK(outcome.error().system == EIO);
        continue;
      }
      REQUIRE(outcome->destination.count() == 2);
      const auto first = outcome->destination.ranges().front().first;
      const auto name = std::to_string(thread) + "-" + std::to_string(round);
      for (const auto& [uid, suffix] : {std::pair{first, "-a"}, std::pair{static_cast<Uid>(number(first) + 1), "-b"}}) {
        CHECK_FALSE(seen.contains(uid));
        seen.add(uid);
        const auto file = view->open_message(uid);
        REQUIRE(file);
        CHECK((*file)->raw().find("Subject: " + name + suffix + "\n") != std::string_view::npos);
      }
    }
  CHECK(names_in(dir / "Maildir/tmp").empty());
  CHECK(names_in(dir / "Maildir/cur").size() == view->exists());
}

TEST_CASE("messages appended at once that cannot be flushed are not there") {
  mail::test::TemporaryDirectory dir;
  BusyDisk disk;
  Bench bench(dir / "Maildir", flushing(), disk);
  bench.append("before");
  disk.broken = true;
  for (const auto& of_thread : append_at_once(*bench.account, 0))
    for (const auto& outcome : of_thread) CHECK_FALSE(outcome);
  disk.broken = false;
  CHECK(bench.select()->exists() == 1);
  CHECK(names_in(dir / "Maildir/tmp").empty());
  const auto uid = bench.append("after");
  CHECK(bench.select()->existing(all()).text() == "1," + std::to_string(number(uid)));
}
