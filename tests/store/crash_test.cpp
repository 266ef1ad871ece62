// Power lost after any call to the disk, or any call failing: what was acknowledged is there, whole; nothing is there
// half; UIDs stay.
#include <catch2/catch.hpp>
#include <functional>
#include <map>

#include "store/deliver.h"
#include "tests/store/support.h"
#include "tests/support/faulty_disk.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;
using mail::test::FaultyDisk;
using mail::test::Loss;

namespace {

StoreSettings careful() {
  auto settings = quick_settings();
  settings.flush = true;
  settings.watch = false;
  return settings;
}

/// INBOX with three messages, the second one flagged; an empty "Other".
void prepare(const std::string& maildir) {
  Bench bench(maildir, quick_settings());
  bench.append("m1");
  bench.append("m2", Flags::flagged);
  bench.append("m3");
  if (!bench.account->create("Other")) throw std::runtime_error("create");
  bench.select();
  bench.select("Other");
}

struct State {
  std::map<std::uint32_t, std::string> subjects;
  std::map<std::uint32_t, Flags> flags;
  std::multimap<std::string, std::uint32_t> uids;
};

/// What a session finds; every message must be whole.
State look(Bench& bench, const std::string& mailbox) {
  State out;
  auto view = bench.account->select(mailbox, true);
  if (!view) return out;
  (*view)->rows(all(), [&](SequenceNumber, const MessageRow& row) {
    const auto file = (*view)->open_message(row.uid);
    REQUIRE(file);
    const auto text = (*file)->wire();
    const auto at = text.find("Subject: ");
    REQUIRE(at != std::string::npos);
    const auto subject = text.substr(at + 9, text.find('\r', at) - at - 9);
    CHECK(text == simple_message(subject));
    CHECK(row.octets == text.size());
    out.subjects[number(row.uid)] = subject;
    out.flags[number(row.uid)] = row.flags;
    out.uids.emplace(subject, number(row.uid));
    return true;
  });
  return out;
}

/// The machine was away for a while: a lock whose owner cannot be read any more is broken by its age.
void age_locks(const std::filesystem::path& root) {
  const auto then = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(10);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.path().extension() == ".lock") std::filesystem::last_write_time(entry.path(), then);
}

using Action = std::function<bool(Bench&)>;  ///< Returns whether it was acknowledged.
using Check = std::function<void(Bench&, bool acknowledged)>;

/// `split`: the mailboxes are on different file systems.
/// Runs the action with the power lost after each number of calls, then checks.
void each_loss(const Action& action, const Check& check, bool split = false) {
  for (const auto loss : {Loss::all, Loss::data, Loss::half_data}) {
    for (int calls = 0; calls < 2000; ++calls) {
      mail::test::TemporaryDirectory dir;
      const auto maildir = dir / "Maildir";
      prepare(maildir);
      bool acknowledged = false, finished = false;
      FaultyDisk disk(dir.path().string(), calls);
      if (split) disk.split();
      try {
        Bench bench(maildir, careful(), disk);
        acknowledged = action(bench);
        finished = !disk.stopped();
      } catch (const std::runtime_error&) {  // it could not even be opened
      }
      disk.lose_power(loss);
      age_locks(dir.path());
      INFO("loss " << static_cast<int>(loss) << " after " << calls << " calls, acknowledged " << acknowledged);
      Bench after(maildir, careful());
      check(after, acknowledged);
      if (finished) break;
    }
  }
}

/// Runs the action with each single call failing (no space), then checks in the same process and in a new one.
void each_failure(const Action& action, const Check& check, bool split = false) {
  for (int calls = 0; calls < 2000; ++calls) {
    mail::test::TemporaryDirectory dir;
    const auto maildir = dir / "Maildir";
    prepare(maildir);
    FaultyDisk disk(dir.path().string(), calls, ENOSPC);
    if (split) disk.split();
    bool finished = false;
    INFO("ENOSPC at call " << calls);
    try {
      Bench bench(maildir, careful(), disk);
      const bool acknowledged = action(bench);
      finished = !disk.stopped();
      if (!finished) check(bench, acknowledged);
    } catch (const std::runtime_error&) {
    }
    Bench after(maildir, careful());
    look(after, "INBOX");
    if (finished) break;
  }
}

void originals_stay(const State& inbox) {
  CHECK(inbox.subjects.count(1) == 1);
  CHECK(inbox.subjects.count(2) == 1);
  CHECK(inbox.subjects.count(3) == 1);
  if (inbox.subjects.size() < 3) return;
  CHECK(inbox.subjects.at(1) == "m1");
  CHECK(inbox.subjects.at(2) == "m2");
  CHECK(inbox.subjects.at(3) == "m3");
  CHECK(inbox.flags.at(2) == Flags::flagged);
}

bool append_one(Bench& bench, const std::string& subject) {
  const auto text = simple_message(subject);
  NewMessage message;
  message.octets = text;
  const auto done = bench.account->append("INBOX", {&message, 1});
  if (!done) UNSCOPED_INFO(done.error().text);
  return static_cast<bool>(done);
}

}  // namespace

TEST_CASE("APPEND survives the loss of power", "[crash]") {
  const Action action = [](Bench& bench) { return append_one(bench, "new"); };
  const Check check = [](Bench& bench, bool acknowledged) {
    const auto inbox = look(bench, "INBOX");
    originals_stay(inbox);
    CHECK(inbox.uids.count("new") <= 1);
    if (acknowledged) CHECK(inbox.subjects.count(4) == 1);
    // UIDs go on from there.
    REQUIRE(append_one(bench, "next"));
    CHECK(look(bench, "INBOX").uids.find("next")->second >= 4);
  };
  each_loss(action, check);
  each_failure(action, [](Bench& bench, bool acknowledged) {
    const auto inbox = look(bench, "INBOX");
    originals_stay(inbox);
    CHECK(inbox.uids.count("new") == (acknowledged ? 1 : 0));
    CHECK(append_one(bench, "after"));  // it goes on when there is room again
  });
}

TEST_CASE("COPY survives the loss of power", "[crash]") {
  const Action action = [](Bench& bench) { return static_cast<bool>(bench.select()->copy(all(), "Other")); };
  each_loss(action, [](Bench& bench, bool acknowledged) {
    originals_stay(look(bench, "INBOX"));
    const auto other = look(bench, "Other");
    CHECK(other.subjects.size() <= 3);
    if (acknowledged) CHECK(other.subjects.size() == 3);
  });
  each_failure(action, [](Bench& bench, bool acknowledged) {
    originals_stay(look(bench, "INBOX"));
    if (!acknowledged) CHECK(look(bench, "Other").subjects.empty());
  });
}

TEST_CASE("MOVE leaves each message in one of the two mailboxes", "[crash]") {
  const Action action = [](Bench& bench) { return static_cast<bool>(bench.select()->move(all(), "Other")); };
  each_loss(action, [](Bench& bench, bool acknowledged) {
    const auto inbox = look(bench, "INBOX"), other = look(bench, "Other");
    for (const auto* subject : {"m1", "m2", "m3"}) CHECK(inbox.uids.count(subject) + other.uids.count(subject) == 1);
    if (acknowledged) CHECK(other.subjects.size() == 3);
  });
  each_failure(action, [](Bench& bench, bool acknowledged) {
    const auto inbox = look(bench, "INBOX"), other = look(bench, "Other");
    CHECK(inbox.subjects.size() + other.subjects.size() == 3);
    if (acknowledged) CHECK(other.subjects.size() == 3);
  });
}

TEST_CASE("flags and expunges survive the loss of power", "[crash]") {
  const Action action = [](Bench& bench) {
    auto view = bench.select();
    FlagChange change;
    change.uids = UidSet::of(Uid{1});
    change.flags = Flags::seen;
    const bool flagged = static_cast<bool>(view->store_flags(change));
    change.uids = UidSet::of(Uid{3});
    change.flags = Flags::deleted;
    if (!view->store_flags(change)) return false;
    const bool expunged = static_cast<bool>(view->expunge(nullptr));
    return flagged && expunged;
  };
  each_loss(action, [](Bench& bench, bool acknowledged) {
    const auto inbox = look(bench, "INBOX");
    CHECK(inbox.subjects.count(1) == 1);
    CHECK(inbox.subjects.count(2) == 1);
    if (!acknowledged) return;
    CHECK(inbox.flags.at(1) == Flags::seen);
    CHECK(inbox.uids.count("m3") == 0);
  });
  each_failure(action, [](Bench& bench, bool) {
    const auto inbox = look(bench, "INBOX");
    CHECK(inbox.subjects.count(2) == 1);
  });
}

TEST_CASE("CREATE, RENAME and DELETE survive the loss of power", "[crash]") {
  each_loss(
      [](Bench& bench) {
        if (!append_one(bench, "x")) return false;
        return static_cast<bool>(bench.account->rename("Other", "Else")) &&
               static_cast<bool>(bench.account->create("Made"));
      },
      [](Bench& bench, bool acknowledged) {
        originals_stay(look(bench, "INBOX"));
        const auto entries = bench.account->list();
        REQUIRE(entries);
        int others = 0, made = 0;
        for (const auto& entry : *entries) {
          others += entry.name == "Other" || entry.name == "Else" ? 1 : 0;
          made += entry.name == "Made" ? 1 : 0;
          CHECK(bench.account->select(entry.name, false));
        }
        CHECK(others == 1);
        if (acknowledged) CHECK(made == 1);
      });
}

TEST_CASE("a delivery is there once, whatever is repeated", "[crash]") {
  const auto text = simple_message("mail");
  const auto run = [&](Bench& bench, bool repeated) {
    Delivery delivery;
    delivery.content = text;
    DeliveryTarget target;
    target.account = bench.account;
    // The test's process has delivered it in the rounds before: the id must be another one each time, as the directory
    // is.
    target.id = "id" + std::to_string(std::hash<std::string>{}(bench.account->location().maildir));
    target.repeated = repeated;
    delivery.targets.push_back(target);
    target.mailbox = "Other";
    delivery.targets.push_back(target);
    const auto out = deliver(*bench.store, {&delivery, 1});
    return out[0].targets[0] && out[0].targets[1];
  };
  each_loss([&](Bench& bench) { return run(bench, false); },
            [&](Bench& bench, bool acknowledged) {
              if (acknowledged) CHECK(look(bench, "INBOX").uids.count("mail") == 1);
              CHECK(look(bench, "Other").uids.count("mail") <= 1);
              CHECK(run(bench, true));
              CHECK(look(bench, "INBOX").uids.count("mail") == 1);
              CHECK(look(bench, "Other").uids.count("mail") == 1);
              originals_stay(look(bench, "INBOX"));
            });
}

TEST_CASE("an index that is deleted, cut, flipped or of another version is noticed; mail and UIDs stay", "[crash]") {
  mail::test::TemporaryDirectory dir;
  const auto maildir = dir / "Maildir";
  prepare(maildir);
  {
    Bench bench(maildir);
    auto view = bench.select();
    REQUIRE(view->complete_summaries(all()));
  }
  const auto saved = dir / "saved";
  std::filesystem::copy(maildir, saved, std::filesystem::copy_options::recursive);
  for (const auto* name : {"relais.index", "relais.log", "relais.cache", "dovecot-uidlist"}) {
    const auto whole = mail::test::read_path(saved + "/" + name);
    for (std::size_t step = 0; step < 40; ++step) {
      auto text = whole;
      const auto at = text.size() * (step % 20) / 20;
      if (step < 20)
        text.resize(at);
      else
        text[at] = static_cast<char>(text[at] ^ (1 << (step % 8)));
      INFO(name << " step " << step);
      std::filesystem::remove_all(maildir);
      std::filesystem::copy(saved, maildir, std::filesystem::copy_options::recursive);
      write_text(maildir + "/" + name, text);
      Bench bench(maildir);
      const auto inbox = look(bench, "INBOX");
      CHECK(inbox.subjects.size() == 3);
      if (std::string_view(name) != "dovecot-uidlist") originals_stay(inbox);
      auto view = bench.select();
      REQUIRE(view->complete_summaries(all()));
      int count = 0;
      view->summaries(all(), [&](SequenceNumber, const MessageRow&, const Summary& summary) {
        ++count;
        CHECK(summary.envelope.find("@example.org") != std::string_view::npos);
        return true;
      });
      CHECK(count == 3);
    }
  }
}

TEST_CASE("COPY and MOVE to another file system survive the loss of power, too", "[crash]") {
  for (const bool move : {false, true}) {
    const Action action = [&](Bench& bench) {
      auto view = bench.select();
      return static_cast<bool>(move ? view->move(all(), "Other") : view->copy(all(), "Other"));
    };
    const Check check = [&](Bench& bench, bool acknowledged) {
      const auto inbox = look(bench, "INBOX"), other = look(bench, "Other");
      if (!move) originals_stay(inbox);
      for (const auto* subject : {"m1", "m2", "m3"}) {
        INFO(subject << (move ? " moved" : " copied"));
        CHECK(inbox.uids.count(subject) <= 1);
        CHECK(other.uids.count(subject) <= 1);
        CHECK(inbox.uids.count(subject) + other.uids.count(subject) >= 1);
      }
      if (acknowledged) CHECK(other.subjects.size() == 3);
    };
    each_loss(action, check, true);
    each_failure(
        action,
        [&](Bench& bench, bool acknowledged) {
          check(bench, acknowledged);
          if (!acknowledged) CHECK(look(bench, "Other").subjects.empty());
        },
        true);
  }
}

TEST_CASE("COPY and MOVE of many messages, which two threads work on, are all or nothing", "[crash]") {
  constexpr int kMessages = 600;
  auto settings = careful();
  settings.parse_threads = 2;
  // The calls that a change makes before its first message are few: the call that fails is one among the messages.
  for (const bool move : {false, true}) {
    for (const int among : {20, 500, FaultyDisk::kNever}) {
      mail::test::TemporaryDirectory dir;
      const auto maildir = dir / "Maildir";
      {
        Bench bench(maildir, settings);
        REQUIRE(bench.account->create("Other"));
        bench.select("Other");
        bench.select();
      }
      for (int i = 0; i < kMessages; ++i)
        write_text(maildir + "/cur/1500000000.M" + std::to_string(100000 + i) + "P1.host:2,S",
                   simple_message("m" + std::to_string(i)));
      Bench(maildir, settings).select();
      int before = 0;
      {
        FaultyDisk counting(dir.path().string());
        Bench bench(maildir, settings, counting);
        bench.select("Other");
        bench.select();
        before = counting.calls();
      }
      const auto names = names_in(maildir + "/cur");
      FaultyDisk disk(dir.path().string(), among == FaultyDisk::kNever ? among : before + among, ENOSPC);
      Bench bench(maildir, settings, disk);
      bench.select("Other");
      const auto view = bench.select();
      REQUIRE(view->exists() == kMessages);
      INFO((move ? "MOVE" : "COPY") << ", call " << among);
      const auto done = move ? view->move(all(), "Other") : view->copy(all(), "Other");
      CHECK(disk.stopped() == (among != FaultyDisk::kNever));
      REQUIRE(static_cast<bool>(done) == (among == FaultyDisk::kNever));
      REQUIRE(view->refresh());
      view->sync(true);
      const auto other = bench.select("Other");
      CHECK(other->exists() == (done ? kMessages : 0));
      CHECK(view->exists() == (done && move ? 0 : kMessages));
      if (!done) {
        CHECK(names_in(maildir + "/cur") == names);
        CHECK(names_in(maildir + "/.Other/cur").empty());
        continue;
      }
      CHECK(done->source.text() == "1:600");
      CHECK(done->destination.text() == "1:600");
      int number_of = 0;
      other->rows(all(), [&](SequenceNumber, const MessageRow& row) {
        const auto file = other->open_message(row.uid);
        REQUIRE(file);
        CHECK((*file)->wire() == simple_message("m" + std::to_string(number_of++)));
        CHECK(row.flags == Flags::seen);
        return true;
      });
    }
  }
}
