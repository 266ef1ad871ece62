// Power lost after any call of the disk while spool/local is worked on: every message arrives whole, exactly once.
#include <array>
#include <catch2/catch.hpp>
#include <cerrno>

#include "mda/local_queue.h"
#include "spool/recovery.h"
#include "tests/mda/support.h"
#include "tests/support/faulty_disk.h"

using namespace mail;
using namespace mail::mda;
using mail::mda::test::Site;
using mail::test::FaultyDisk;
using mail::test::Loss;

namespace {

const std::string kMessage = "Received: x\r\nSubject: crash\r\n\r\nbody\r\n";
const std::string kTail = "Received: x\nSubject: crash\n\nbody\n";

void fill(Site& site) {
  site.open();
  for (int i = 0; i < 2; ++i) {
    auto envelope =
        new_envelope("s@example.net", {"ann@example.test", "bob@example.test"}, "SMTP", Clock::system().now());
    if (!site.environment->writer->put({{spool::Box::local, envelope}}, kMessage)) std::abort();
  }
  site.environment.reset();
}

void work(Site& site, Disk& disk) {
  auto environment = Environment::open(site.settings, true, {.as_root = true}, disk);
  if (!environment) return;
  auto& e = **environment;
  LocalQueue queue(site.settings, *e.spool, *e.agent, *e.writer, *e.done);
  static_cast<void>(queue.run_once());
}

/// What stands in a user's Maildir, whole messages only.
std::size_t whole(const Site& site, const std::string& user) {
  std::size_t count = 0;
  for (const auto& message : site.messages(user)) {
    CHECK(message.ends_with(kTail));
    CHECK(message.starts_with("Return-Path: <s@example.net>\n"));
    ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("power lost after any call during delivery") {
  // Every third call, with each kind of loss in turn: all of them take minutes.
  for (int calls = 0;; calls += 3) {
    const auto loss = std::array{Loss::all, Loss::data, Loss::half_data}[static_cast<std::size_t>(calls / 3 % 3)];
    INFO("loss " << static_cast<int>(loss) << " after " << calls << " calls");
    Site site;
    fill(site);
    bool all_done = false;
    {
      FaultyDisk disk(site.directory.path().string(), calls);
      work(site, disk);
      all_done = !disk.stopped();
      disk.lose_power(loss);
      spool::pretend_boot(static_cast<std::uint32_t>(calls) + 1);
    }
    work(site, Disk::system());
    CHECK(std::filesystem::is_empty(site.directory / "spool/local"));
    CHECK(whole(site, "ann") == 2);
    CHECK(whole(site, "bob") == 2);
    if (all_done) break;
    REQUIRE(calls < 2000);
  }
}

TEST_CASE("any one call fails during delivery: nothing is lost, and it goes on") {
  for (int calls = 1;; calls += 3) {
    const int error = std::array{ENOSPC, EIO, EMFILE}[static_cast<std::size_t>(calls / 3 % 3)];
    INFO("errno " << error << " at call " << calls);
    Site site("[mda]\nretry_first = \"0s\"\n");
    fill(site);
    bool all_done = false;
    {
      FaultyDisk disk(site.directory.path().string(), calls, error);
      work(site, disk);
      all_done = !disk.stopped();
    }
    work(site, Disk::system());
    CHECK(std::filesystem::is_empty(site.directory / "spool/local"));
    CHECK(whole(site, "ann") == 2);
    CHECK(whole(site, "bob") == 2);
    if (all_done) break;
    REQUIRE(calls < 2000);
  }
}

TEST_CASE("a process that dies before the flush: nothing is delivered twice, nor what a reader has taken away") {
  for (int calls = 1;; calls += 2) {
    INFO("killed at call " << calls);
    Site site;
    fill(site);
    bool all_done = false;
    {
      FaultyDisk disk(site.directory.path().string(), calls);  // and what was written stays
      work(site, disk);
      all_done = !disk.stopped();
    }
    // The reader removes what stands in ann's mailbox as soon as the process said that it is there.
    std::size_t placed = 0;
    for (const auto& file : std::filesystem::directory_iterator(site.directory / "spool/journal/mda"))
      if (file.path().filename().string().starts_with(spool::kDonePrefix))
        placed += static_cast<std::size_t>(std::ranges::count(spool::parse_done(mail::test::read_path(file.path())),
                                                              spool::kPlaced, &spool::DoneNote::state));
    const auto before = whole(site, "ann");
    std::size_t left = 2;
    if (placed == 2) {
      REQUIRE(before == 2);
      for (const auto& file : std::filesystem::directory_iterator(site.directory / "mail/ann/new"))
        std::filesystem::remove(file.path());
      left = 0;
    }
    work(site, Disk::system());
    CHECK(std::filesystem::is_empty(site.directory / "spool/local"));
    CHECK(whole(site, "ann") == left);
    CHECK(whole(site, "bob") == 2);
    if (all_done) break;
    REQUIRE(calls < 2000);
  }
}
