// Import, export, check and repair; the formats of other programs.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "store/maintenance.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

TEST_CASE("an mbox is imported once, however often the import is started, and exported again") {
  mail::test::TemporaryDirectory dir;
  const std::string mbox =
      "From ann@example.org Fri Nov 21 09:55:06 1997\nStatus: RO\nSubject: one\n\n>From here on\n>>From quoted\n\n"
      "From bob@example.org Fri Nov 21 09:56:06 1997\nX-Status: AF\nSubject: two\n\nFrom the middle of a text\n\n"
      "From bob@example.org Fri Nov 21 09:56:06 1997\nX-Status: AF\nSubject: two\n\nFrom the middle of a text\n\n";
  write_text(dir / "mbox", mbox);
  Bench bench(dir / "Maildir");
  int calls = 0;
  const auto stopped = import_mbox(*bench.account, "Old", dir / "mbox", [&](auto, auto) { return ++calls < 2; });
  REQUIRE(stopped);
  CHECK(stopped->imported == 2);
  const auto report = import_mbox(*bench.account, "Old", dir / "mbox", {});
  REQUIRE(report);
  CHECK(report->imported == 1);
  CHECK(report->there_already == 2);
  auto view = bench.select("Old");
  CHECK(view->exists() == 3);
  CHECK(view->row(Uid{1})->flags == Flags::seen);
  CHECK(view->row(Uid{2})->flags == (Flags::answered | Flags::flagged));
  CHECK((*view->open_message(Uid{1}))->raw() == "Status: RO\nSubject: one\n\nFrom here on\n>From quoted\n");
  const auto exported = export_mbox(*bench.account, "Old", dir / "out", {});
  REQUIRE(exported);
  CHECK(*exported == 3);
  const auto text = mail::test::read_path(dir / "out");
  CHECK(text.starts_with("From MAILER-DAEMON "));
  CHECK(text.find("\n>From here on\n>>From quoted\n") != std::string::npos);
  const auto maildir = export_maildir(*bench.account, "Old", dir / "copy", {});
  REQUIRE(maildir);
  CHECK(names_in(dir / "copy/cur").size() == 3);
  REQUIRE(export_maildir(*bench.account, "Old", dir / "copy", {}));
  CHECK(names_in(dir / "copy/cur").size() == 3);
  const auto back = import_maildir(*bench.account, "Back", dir / "copy", {});
  REQUIRE(back);
  CHECK(back->imported == 3);
  CHECK(bench.select("Back")->row(Uid{3})->flags == (Flags::answered | Flags::flagged));
}

TEST_CASE("a Maildir that Dovecot served keeps its UIDs and keywords; Courier's list is taken over") {
  mail::test::TemporaryDirectory dir;
  std::filesystem::create_directories(dir / "Maildir/cur");
  std::filesystem::create_directories(dir / "Maildir/new");
  std::filesystem::create_directories(dir / "Maildir/tmp");
  std::filesystem::create_directories(dir / "Maildir/.Old/cur");
  write_text(dir / "Maildir/cur/1276528487.M364837P9451.kurkku,S=11,W=13:2,Sb", "Subject: a\n");
  write_text(dir / "Maildir/cur/1276533073.M242911P3632.kurkku:2,F", "Subject: b\n");
  write_text(dir / "Maildir/new/1276533074.M242911P3632.kurkku", "Subject: c\n");
  write_text(
      dir / "Maildir/dovecot-uidlist",
      "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n25006 "
      ":1276528487.M364837P9451.kurkku,S=11,W=13:2,\n25010 :gone\n25017 W2481 S2457 :1276533073.M242911P3632.kurkku\n");
  write_text(dir / "Maildir/dovecot-keywords", "0 Junk\n1 NonJunk\n");
  write_text(dir / "Maildir/subscriptions", "Old\nWork.B&APw-ro\n");
  write_text(dir / "Maildir/.Old/cur/1.a:2,S", "Subject: x\n");
  write_text(dir / "Maildir/.Old/cur/2.b:2,", "Subject: y\n");
  write_text(dir / "Maildir/.Old/courierimapuiddb", "1 777 43\n41 2.b\n42 1.a\n");
  auto settings = quick_settings();
  settings.watch = false;  // else it might see the new file before the list that names it
  Bench bench(dir / "Maildir", settings);
  auto view = bench.select();
  CHECK(number(view->uid_validity()) == 1275660208);
  CHECK(view->existing(all()).text() == "25006,25017,25022");
  CHECK(view->mailbox_id() == "3085f01b7f11094c501100008c4a11c1");
  CHECK(view->keywords() == std::vector<std::string>{"Junk", "NonJunk"});
  CHECK(view->row(Uid{25006})->keywords == 2);
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-uidlist")
            .ends_with("25017 W2481 S2457 :1276533073.M242911P3632.kurkku\n25022 :1276533074.M242911P3632.kurkku\n"));
  auto old = bench.select("Old");
  CHECK(number(old->uid_validity()) == 777);
  CHECK(old->existing(all()).text() == "41:42");
  CHECK(old->row(Uid{42})->flags == Flags::seen);
  const auto entries = bench.account->list();
  CHECK(entries->size() == 3);
  // Dovecot takes its turn, as it does: under its lock it gives a UID to a new message and writes the list anew.
  write_text(dir / "Maildir/dovecot-uidlist.lock", std::to_string(::getpid()) + ":elsewhere");
  write_text(dir / "Maildir/cur/1276533075.M1P3632.kurkku:2,", "Subject: d\n");
  auto list = mail::test::read_path(dir / "Maildir/dovecot-uidlist");
  list.replace(list.find("N25022"), 6, "N25031");
  write_text(dir / "Maildir/dovecot-uidlist.tmp", list + "25030 :1276533075.M1P3632.kurkku\n");
  std::filesystem::rename(dir / "Maildir/dovecot-uidlist.tmp", dir / "Maildir/dovecot-uidlist");
  std::filesystem::remove(dir / "Maildir/dovecot-uidlist.lock");
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "25006,25017,25022,25030");
  CHECK(bench.append("e") == Uid{25031});
}

TEST_CASE("a Maildir is imported with its UIDs, also after an interruption, and again when mail came into it") {
  mail::test::TemporaryDirectory dir;
  for (const auto* part : {"cur", "new", "tmp", ".Sent/cur", ".Sent/new"})
    std::filesystem::create_directories(dir / ("from/" + std::string(part)));
  std::string list = "3 V1275660208 N150 G3085f01b7f11094c501100008c4a11c1\n";
  for (int i = 0; i < 40; ++i) {
    const auto base = std::to_string(1276528400 + i) + ".M1P2.kurkku";
    write_text(dir / ("from/cur/" + base + (i % 2 == 0 ? ":2,S" : ":2,Sb")), "Subject: " + std::to_string(i) + "\n");
    list += std::to_string(100 + i) + " W13 :" + base + "\n";
  }
  list += "145 :1276528490.gone\n";
  write_text(dir / "from/new/1276529000.M1P2.kurkku", "Subject: not in the list\n");
  write_text(dir / "from/dovecot-uidlist", list);
  write_text(dir / "from/dovecot-keywords", "0 Junk\n1 NonJunk\n");
  write_text(dir / "from/.Sent/cur/1.a:2,S", "Subject: x\n");
  write_text(dir / "from/.Sent/cur/2.b:2,", "Subject: y\n");
  write_text(dir / "from/.Sent/courierimapuiddb", "1 777 43\n41 2.b\n42 1.a\n");
  Bench bench(dir / "Maildir");
  int calls = 0;
  const auto stopped = import_account(*bench.account, dir / "from", [&](auto, auto) { return ++calls < 2; });
  REQUIRE(stopped);
  CHECK(bench.select()->exists() == 0);  // what was brought so far waits in tmp
  const auto report = import_account(*bench.account, dir / "from", {});
  REQUIRE(report);
  CHECK(report->imported == 41 + (stopped->imported == 0 ? 2 : 0));
  CHECK(report->new_uids.empty());
  CHECK(report->problems.empty());
  CHECK(names_in(dir / "Maildir/tmp").empty());
  auto view = bench.select();
  CHECK(number(view->uid_validity()) == 1275660208);
  CHECK(view->existing(all()).text() == "100:139,150");
  CHECK(view->mailbox_id() != "3085f01b7f11094c501100008c4a11c1");  // two mailboxes, should the source stay in use
  CHECK(view->keywords() == std::vector<std::string>{"Junk", "NonJunk"});
  CHECK(view->row(Uid{101})->keywords == 2);
  CHECK(view->row(Uid{101})->flags == Flags::seen);
  CHECK((*view->open_message(Uid{139}))->raw() == "Subject: 39\n");
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-uidlist").find("100 W13 :1276528400.") != std::string::npos);
  auto sent = bench.select("Sent");
  CHECK(number(sent->uid_validity()) == 777);
  CHECK(sent->existing(all()).text() == "41:42");
  CHECK(sent->row(Uid{42})->flags == Flags::seen);
  // The old server got more mail until it was turned off.
  std::filesystem::rename(dir / "from/new/1276529000.M1P2.kurkku", dir / "from/cur/1276529000.M1P2.kurkku:2,S");
  write_text(dir / "from/cur/1276529001.M1P2.kurkku:2,", "Subject: later\n");
  list.replace(list.find("N150"), 4, "N152");
  write_text(dir / "from/dovecot-uidlist", list + "150 :1276529000.M1P2.kurkku\n151 :1276529001.M1P2.kurkku\n");
  const auto again = import_account(*bench.account, dir / "from", {});
  REQUIRE(again);
  CHECK(again->imported == 1);
  CHECK(again->there_already == 43);
  view = bench.select();
  CHECK(view->existing(all()).text() == "100:139,150:151");
  CHECK((*view->open_message(Uid{151}))->raw() == "Subject: later\n");
  // A mailbox with messages of its own gives UIDs of its own.
  REQUIRE(bench.account->create("Other"));
  bench.append("mine", Flags::none, "Other");
  const auto other = import_maildir(*bench.account, "Other", dir / "from", {});
  REQUIRE(other);
  CHECK(other->imported == 42);
  CHECK(other->new_uids == std::vector<std::string>{"Other"});
  CHECK(bench.select("Other")->existing(all()).text() == "1:43");
}

TEST_CASE("a mailbox that a session has open is taken over too, as long as it never had a message") {
  mail::test::TemporaryDirectory dir;
  std::filesystem::create_directories(dir / "from/cur");
  write_text(dir / "from/cur/1.a:2,S", "Subject: x\n");
  write_text(dir / "from/dovecot-uidlist", "3 V9 N8\n7 :1.a\n");
  Bench other(dir / "Maildir");
  auto open = other.select();
  CHECK(open->exists() == 0);
  Bench bench(dir / "Maildir");
  const auto report = import_maildir(*bench.account, "INBOX", dir / "from", {});
  REQUIRE(report);
  CHECK(report->imported == 1);
  CHECK(bench.select()->existing(all()).text() == "7");
  (void)open->refresh();  // finds that the index is another one
  REQUIRE(open->refresh());
  CHECK(open->sync(true).invalid);  // the session is told that the mailbox was replaced
  auto view = other.select();
  CHECK(number(view->uid_validity()) == 9);
  CHECK(view->existing(all()).text() == "7");
}

TEST_CASE("$Forwarded is Maildir's P and Dovecot's keyword") {
  mail::test::TemporaryDirectory dir;
  auto settings = quick_settings();
  settings.watch = false;
  for (const auto* folder : {"cur", "new", "tmp"})
    std::filesystem::create_directories(dir / ("Maildir/" + std::string(folder)));
  write_text(dir / "Maildir/cur/1.a:2,P", "Subject: a\n");  // another program's
  write_text(dir / "Maildir/cur/2.b:2,b", "Subject: b\n");  // Dovecot's
  write_text(dir / "Maildir/cur/3.c:2,Sa", "Subject: c\n");
  write_text(dir / "Maildir/dovecot-keywords", "0 Other\n1 $Forwarded\n");
  Bench bench(dir / "Maildir", settings);
  auto view = bench.select();
  const auto flags = [&](std::uint32_t uid) { return view->row(Uid{uid})->flags; };
  CHECK(flags(1) == Flags::forwarded);
  CHECK(flags(2) == Flags::forwarded);
  CHECK(view->row(Uid{2})->keywords == 0);
  CHECK(flags(3) == Flags::seen);
  FlagChange change;
  change.flags = Flags::forwarded;
  change.uids = UidSet::of(Uid{3});
  REQUIRE(view->store_flags(change));
  change.how = FlagChange::How::remove;
  change.uids = UidSet({{Uid{1}, Uid{2}}});
  REQUIRE(view->store_flags(change));
  bench.store->write_pending();
  CHECK(names_in(dir / "Maildir/cur") == std::vector<std::string>{"1.a:2,", "2.b:2,", "3.c:2,PSab"});
  CHECK(flags(3) == (Flags::seen | Flags::forwarded));
  bench.append("d", Flags::forwarded);
  CHECK(names_in(dir / "Maildir/cur")[1].ends_with(":2,Pb"));
}

TEST_CASE("what Courier left is taken over: UIDs, and subscriptions until there are some of our own") {
  mail::test::TemporaryDirectory dir;
  for (const auto* folder : {"cur", "new", "tmp", ".Sent/cur", ".Sent/new", ".Sent/tmp"})
    std::filesystem::create_directories(dir / ("Maildir/" + std::string(folder)));
  write_text(dir / "Maildir/cur/1276528487.M364837P9451.kurkku,S=11:2,S", "Subject: a\n");
  write_text(dir / "Maildir/cur/1276528488.M1P9451.kurkku,S=11:2,RS", "Subject: b\n");
  write_text(dir / "Maildir/new/1276528489.M1P9451.kurkku,S=11", "Subject: c\n");
  // Its lines need not be in the order of the UIDs.
  write_text(dir / "Maildir/courierimapuiddb",
             "1 1234567890 18\n17 1276528488.M1P9451.kurkku,S=11\n4 1276528487.M364837P9451.kurkku,S=11\n");
  write_text(dir / "Maildir/courierimapsubscribed", "INBOX.Sent\nINBOX\nINBOX.B&APw-ro\n");
  Bench bench(dir / "Maildir");
  auto view = bench.select();
  CHECK(number(view->uid_validity()) == 1234567890);
  CHECK(view->existing(all()).text() == "4,17:18");
  CHECK(view->row(Uid{17})->flags == (Flags::answered | Flags::seen));
  const auto subscribed = [&] {
    std::string out;
    const auto entries = bench.account->list();
    for (const auto& entry : *entries)
      if (entry.subscribed) out += entry.name + " ";
    return out;
  };
  CHECK(subscribed() == "INBOX Büro Sent ");
  REQUIRE(bench.account->subscribe("Büro", false));
  CHECK(subscribed() == "INBOX Sent ");
  // The list is Dovecot's now, and stands.
  CHECK(bench.append("d") == Uid{19});
  CHECK(Bench(dir / "Maildir").select()->existing(all()).text() == "4,17:19");
}

TEST_CASE("where the list says otherwise than we did, the list is right") {
  mail::test::TemporaryDirectory dir;
  auto settings = quick_settings();
  settings.watch = false;
  Bench bench(dir / "Maildir", settings);
  bench.append("a");
  bench.append("b");
  auto view = bench.select();
  // Another program that took no lock, or broke ours, gave the second message UID 9; a third one has a line and no
  // file.
  auto list = mail::test::read_path(dir / "Maildir/dovecot-uidlist");
  const auto line = list.rfind("\n2 ");
  list.replace(line + 1, 1, "9");
  write_text(dir / "Maildir/dovecot-uidlist.tmp", list + "10 :1276533075.M1P3632.gone\n");
  std::filesystem::rename(dir / "Maildir/dovecot-uidlist.tmp", dir / "Maildir/dovecot-uidlist");
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "1,9");
  CHECK(bench.append("c") == Uid{11});
}

TEST_CASE("check finds what does not fit, repair puts it right") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  for (int i = 0; i < 3; ++i) bench.append("m" + std::to_string(i));
  REQUIRE(reindex(*bench.account, "INBOX", {}));
  auto report = check_mailbox(*bench.account, "INBOX", false);
  REQUIRE(report);
  CHECK(report->messages == 3);
  CHECK(report->problems.empty());
  std::filesystem::remove(dir / "Maildir/dovecot-uidlist");  // any look makes it anew, with the same UIDs
  report = check_mailbox(*bench.account, "INBOX", false);
  REQUIRE(report);
  CHECK(report->problems.empty());
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-uidlist").find("\n3 :") != std::string::npos);
  std::ofstream(dir / ("Maildir/cur/" + names_in(dir / "Maildir/cur").front()), std::ios::app) << "changed by hand\n";
  report = check_mailbox(*bench.account, "INBOX", false);
  REQUIRE(report);
  CHECK_FALSE(report->problems.empty());
  report = check_mailbox(*bench.account, "INBOX", true);
  REQUIRE(report);
  report = check_mailbox(*bench.account, "INBOX", false);
  REQUIRE(report);
  CHECK(report->problems.empty());
  CHECK(bench.select()->existing(all()).text() == "1:3");
}
