// A process that is killed at any moment while it changes mailboxes: what it acknowledged is there, whole and once;
// nothing else is lost.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/strings.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

constexpr int kRounds = 12;

/// Says what was acknowledged to the parent: one write, which a signal does not divide.
class Told {
 public:
  explicit Told(int fd) : fd_(fd) {}
  void say(const std::string& line) const { (void)!::write(fd_, (line + "\n").data(), line.size() + 1); }

 private:
  int fd_;
};

StoreSettings settings() {
  auto out = quick_settings();
  out.write_behind = std::chrono::milliseconds(2);
  out.watch = false;
  return out;
}

/// Runs `work` in a process that is killed after a while. @return what it said
std::vector<std::string> killed(const std::string& maildir, std::chrono::microseconds after,
                                const std::function<void(Bench&, const Told&)>& work) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    try {
      Bench bench(maildir, settings());
      const Told told(ends[1]);
      told.say("begun");
      for (;;) work(bench, told);
    } catch (const std::exception& error) {
      (void)!::write(2, error.what(), std::strlen(error.what()));
    }
    ::_exit(1);
  }
  ::close(ends[1]);
  std::string said;
  char octets[4096];
  auto got = ::read(ends[0], octets, sizeof octets);  // until it has begun
  if (got > 0) said.append(octets, static_cast<std::size_t>(got));
  std::this_thread::sleep_for(after);
  ::kill(child, SIGKILL);
  while ((got = ::read(ends[0], octets, sizeof octets)) > 0) said.append(octets, static_cast<std::size_t>(got));
  ::close(ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  std::vector<std::string> out;
  for (const auto line : split(said, '\n'))
    if (!line.empty() && line != "begun") out.emplace_back(line);
  return out;
}

/// Subject to UIDs; each message must be whole.
std::multimap<std::string, std::uint32_t> look(Bench& bench, const std::string& mailbox) {
  std::multimap<std::string, std::uint32_t> out;
  const auto view = bench.account->select(mailbox, true);
  if (!view) return out;
  (*view)->rows(all(), [&](SequenceNumber, const MessageRow& row) {
    const auto file = (*view)->open_message(row.uid);
    REQUIRE(file);
    const auto text = (*file)->wire();
    const auto at = text.find("Subject: ") + 9;
    const auto subject = text.substr(at, text.find('\r', at) - at);
    CHECK(text == simple_message(subject));
    out.emplace(subject, number(row.uid));
    return true;
  });
  return out;
}

/// kRounds processes one after the other on one Maildir, each killed; `check` after each.
void rounds(const std::function<void(Bench&, const Told&)>& work,
            const std::function<void(Bench&, const std::vector<std::string>&)>& check) {
  mail::test::TemporaryDirectory dir;
  const auto maildir = dir / "Maildir";
  {
    Bench bench(maildir);
    for (int i = 1; i <= 3; ++i) bench.append("m" + std::to_string(i));
    REQUIRE(bench.account->create("Other"));
  }
  std::mt19937 dice(7);
  for (int round = 0; round < kRounds; ++round) {
    INFO("round " << round);
    const auto told = killed(maildir, std::chrono::microseconds(dice() % 12000), work);
    Bench bench(maildir, settings());
    check(bench, told);
  }
}

std::string fresh_subject() {
  static int count = 0;
  return "x" + std::to_string(::getpid()) + "n" + std::to_string(++count);
}

}  // namespace

TEST_CASE("killed during APPEND", "[kill]") {
  std::map<std::string, std::uint32_t> acknowledged;
  rounds(
      [](Bench& bench, const Told& told) {
        const auto subject = fresh_subject();
        told.say(std::to_string(number(bench.append(subject))) + " " + subject);
      },
      [&](Bench& bench, const std::vector<std::string>& told) {
        for (const auto& line : told) {
          const auto [uid, subject] = split_once(line, ' ');
          CHECK(acknowledged.emplace(std::string(subject), *parse_decimal<std::uint32_t>(uid)).second);
        }
        const auto inbox = look(bench, "INBOX");
        for (const auto& [subject, uid] : acknowledged) {
          CHECK(inbox.count(subject) == 1);
          CHECK(inbox.find(subject)->second == uid);
        }
        for (const auto& [subject, uid] : inbox) CHECK(inbox.count(subject) == 1);
      });
}

TEST_CASE("killed during COPY", "[kill]") {
  std::size_t acknowledged = 0;
  rounds(
      [](Bench& bench, const Told& told) {
        if (bench.select()->copy(UidSet({{Uid{1}, Uid{3}}}), "Other")) told.say("copied");
      },
      [&](Bench& bench, const std::vector<std::string>& told) {
        acknowledged += told.size();
        CHECK(look(bench, "INBOX").size() == 3);
        const auto other = look(bench, "Other");
        for (const auto* subject : {"m1", "m2", "m3"}) CHECK(other.count(subject) >= acknowledged);
      });
}

TEST_CASE("killed during MOVE", "[kill]") {
  rounds(
      [](Bench& bench, const Told&) {
        (void)bench.select()->move(all(), "Other");
        (void)bench.select("Other")->move(all(), "INBOX");
      },
      [](Bench& bench, const std::vector<std::string>&) {
        const auto inbox = look(bench, "INBOX"), other = look(bench, "Other");
        for (const auto* subject : {"m1", "m2", "m3"}) CHECK(inbox.count(subject) + other.count(subject) == 1);
      });
}

TEST_CASE("killed during STORE and EXPUNGE", "[kill]") {
  std::set<std::string> gone;
  rounds(
      [](Bench& bench, const Told& told) {
        const auto subject = fresh_subject();
        const auto uid = bench.append(subject);
        auto view = bench.select();
        FlagChange change;
        change.uids = UidSet::of(uid);
        change.flags = Flags::deleted;
        if (!view->store_flags(change)) return;
        const auto expunged = view->expunge(nullptr);
        if (expunged && !expunged->empty()) told.say(subject);
        change.uids = UidSet::of(Uid{2});
        change.flags = Flags::flagged;
        if (view->store_flags(change)) told.say("flagged");
      },
      [&](Bench& bench, const std::vector<std::string>& told) {
        bool flagged = false;
        for (const auto& line : told) {
          flagged |= line == "flagged";
          gone.insert(line);
        }
        const auto inbox = look(bench, "INBOX");
        for (const auto* subject : {"m1", "m2", "m3"}) CHECK(inbox.count(subject) == 1);
        for (const auto& [subject, uid] : inbox) CHECK(gone.count(subject) == 0);
        if (flagged) CHECK(has(bench.select()->row(Uid{2})->flags, Flags::flagged));
      });
}

TEST_CASE("killed during RENAME", "[kill]") {
  rounds(
      [](Bench& bench, const Told&) {
        for (const auto* name : {"Tree", "Tree.Leaf"})  // the first of all makes them
          if (!bench.account->find(name) && !bench.account->find(std::string("Wood") + (name + 4))) {
            if (!bench.account->create(name)) continue;
            (void)bench.select()->copy(all(), name);
          }
        (void)bench.account->rename("Tree", "Wood");
        (void)bench.account->rename("Wood", "Tree");
      },
      [](Bench& bench, const std::vector<std::string>&) {
        CHECK(look(bench, "INBOX").size() == 3);
        for (const std::string rest : {"", ".Leaf"}) {
          const auto entries = bench.account->list();
          REQUIRE(entries);
          int there = 0;
          for (const auto& entry : *entries) {
            if (!entry.exists || (entry.name != "Tree" + rest && entry.name != "Wood" + rest)) continue;
            ++there;
            look(bench, entry.name);
          }
          CHECK(there <= 1);
        }
      });
}
