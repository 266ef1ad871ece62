// Several processes on one Maildir: no UID twice, no message missed, no flag lost.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <map>
#include <set>

#include "base/strings.h"
#include "store/deliver.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

constexpr int kProcesses = 4, kRounds = 25;

/// One process's work: appends, deliveries, flags on its own messages and on the common one, expunges of some. Writes
/// "UID SUBJECT\n" for each append that was acknowledged and not expunged.
int work(const std::string& maildir, const std::string& index, int who, const std::string& report, bool watch) {
  auto settings = quick_settings();
  settings.write_behind = std::chrono::milliseconds(5);
  settings.host = "host" + std::to_string(who);
  settings.watch = watch;
  Bench bench(maildir, settings, Disk::system(), index);
  auto view = bench.select();
  std::string out;
  for (int round = 0; round < kRounds; ++round) {
    const auto subject = "p" + std::to_string(who) + "r" + std::to_string(round);
    const auto uid = bench.append(subject);
    if (!view->refresh()) return 1;
    view->sync(true);
    if (!view->row(uid)) return 2;
    FlagChange change;
    change.uids = UidSet::of(uid);
    change.flags = Flags::flagged;
    change.keywords = {"k" + std::to_string(who)};
    if (!view->store_flags(change)) return 3;
    if (round % 5 == 4) {
      change.flags = Flags::deleted;
      change.keywords.clear();
      if (!view->store_flags(change)) return 4;
      const auto gone = view->expunge(&change.uids);
      if (!gone || gone->empty()) return 5;
    } else {
      out += std::to_string(number(uid)) + " " + subject + "\n";
    }
    Delivery delivery;
    const auto text = simple_message("d" + subject);
    delivery.content = text;
    DeliveryTarget target;
    target.account = bench.account;
    target.id = "d" + subject;
    delivery.targets.push_back(target);
    if (!deliver(*bench.store, {&delivery, 1})[0].targets[0]) return 6;
  }
  FlagChange mine;  // all on one message: every one of them must stay
  mine.uids = UidSet::of(Uid{1});
  mine.keywords = {"seenby" + std::to_string(who)};
  if (!view->store_flags(mine)) return 7;
  bench.store->write_pending();
  write_text(report, out);
  return 0;
}

void run(bool own_indexes, bool watch) {
  mail::test::TemporaryDirectory dir;
  const auto maildir = dir / "Maildir";
  {
    Bench bench(maildir);
    bench.append("common");
  }
  std::vector<pid_t> children;
  for (int who = 0; who < kProcesses; ++who) {
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int code = 99;
      try {
        code = work(maildir, own_indexes ? dir / ("index" + std::to_string(who)) : std::string(), who,
                    dir / ("report" + std::to_string(who)), watch);
      } catch (const std::exception& error) {
        (void)!::write(2, error.what(), std::strlen(error.what()));
      }
      ::_exit(code);
    }
    children.push_back(child);
  }
  for (const auto child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  Bench bench(maildir, quick_settings(), Disk::system(), own_indexes ? dir / "index0" : std::string());
  auto view = bench.select();
  REQUIRE(view->refresh());
  view->sync(true);
  std::map<std::string, Uid> by_subject;
  const auto keywords = view->keywords();
  view->rows(all(), [&](SequenceNumber, const MessageRow& row) {
    const auto file = view->open_message(row.uid);
    REQUIRE(file);
    const std::string text((*file)->raw());
    const auto at = text.find("Subject: ") + 9;
    const auto subject = text.substr(at, text.find('\n', at) - at);
    CHECK(by_subject.emplace(subject, row.uid).second);
    return true;
  });
  std::set<std::uint32_t> uids;
  for (int who = 0; who < kProcesses; ++who) {
    const auto report = mail::test::read_path(dir / ("report" + std::to_string(who)));
    for (const auto line : split(report, '\n')) {
      if (line.empty()) continue;
      const auto [uid, subject] = split_once(line, ' ');
      const auto found = by_subject.find(std::string(subject));
      INFO(subject);
      REQUIRE(found != by_subject.end());
      CHECK(number(found->second) == parse_decimal<std::uint32_t>(uid));
      CHECK(uids.insert(number(found->second)).second);
      const auto row = view->row(found->second);
      CHECK(has(row->flags, Flags::flagged));
      std::string has_keyword;
      for (std::size_t bit = 0; bit < keywords.size(); ++bit)
        if ((row->keywords >> bit) & 1) has_keyword += keywords[bit];
      CHECK(has_keyword == "k" + std::to_string(who));
    }
    for (int round = 0; round < kRounds; ++round)
      CHECK(by_subject.count("dp" + std::to_string(who) + "r" + std::to_string(round)) == 1);
  }
  CHECK(view->exists() == 1 + kProcesses * (kRounds + kRounds / 5 * 4));
  std::set<std::string> common;
  for (std::size_t bit = 0; bit < keywords.size(); ++bit)
    if ((view->row(Uid{1})->keywords >> bit) & 1) common.insert(keywords[bit]);
  CHECK(common.size() == kProcesses);
}

}  // namespace

TEST_CASE("four processes that share the index") { run(false, true); }

TEST_CASE("four hosts, each with an index of its own, as over NFS") {
  SECTION("on one machine, where inotify tells of the others") { run(true, true); }
  SECTION("where nothing tells of them") { run(true, false); }
}
