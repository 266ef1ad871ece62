// Names, subscriptions, special use, quota, metadata, rights.
#include <catch2/catch.hpp>

#include "base/mutf7.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {
std::string listing(Account& account) {
  std::string out;
  const auto entries = account.list();
  if (!entries) return entries.error().text;
  for (const auto& entry : *entries) {
    out += entry.name;
    if (!entry.exists) out += " (none)";
    if (entry.has_children) out += " +";
    if (entry.subscribed) out += " sub";
    if (!entry.special_use.empty()) out += " " + entry.special_use;
    out += "\n";
  }
  return out;
}
}  // namespace

TEST_CASE("create, list, subscribe, rename, delete") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  auto& account = *bench.account;
  CHECK(listing(account) == "INBOX\n");
  REQUIRE(account.create("Sent"));
  REQUIRE(account.create("Work.Büro.日本", ""));
  REQUIRE(account.create("Paper", "\\Archive"));
  REQUIRE(account.subscribe("Work.Büro.日本", true));
  REQUIRE(account.subscribe("Gone", true));
  CHECK(
      listing(account) ==
      "INBOX\nGone (none) sub\nPaper \\Archive\nSent \\Sent\nWork (none) +\nWork.Büro (none) +\nWork.Büro.日本 sub\n");
  CHECK(std::filesystem::is_directory(dir / "Maildir/.Work.B&APw-ro.&ZeVnLA-/cur"));
  CHECK(mail::test::read_path(dir / "Maildir/subscriptions") == "V\t2\n\nWork\tB&APw-ro\t&ZeVnLA-\nGone\n");
  bench.append("m", Flags::none, "Work.Büro.日本");
  const auto id = bench.select("Work.Büro.日本")->mailbox_id();
  CHECK(account.create("Sent").error().kind == Error::Kind::refused);
  CHECK(account.rename("Sent", "Paper").error().kind == Error::Kind::refused);
  CHECK(account.rename("None", "Else").error().kind == Error::Kind::not_found);
  REQUIRE(account.rename("Work", "Job"));
  CHECK(listing(account) ==
        "INBOX\nGone (none) sub\nJob (none) +\nJob.Büro (none) +\nJob.Büro.日本\nPaper \\Archive\nSent "
        "\\Sent\nWork.Büro.日本 (none) sub\n");
  auto view = bench.select("Job.Büro.日本");
  CHECK(view->exists() == 1);
  CHECK(view->mailbox_id() == id);
  REQUIRE(account.remove("Job.Büro.日本"));
  CHECK(view->refresh().error().kind == Error::Kind::not_found);
  CHECK(view->sync(true).invalid);
  CHECK_FALSE(account.select("Job.Büro.日本", false));
  CHECK(account.remove("INBOX").error().kind == Error::Kind::refused);
  for (const auto& name : names_in(dir / "Maildir")) CHECK(name.find("removed") == std::string::npos);
}

TEST_CASE("a mailbox made again under an old name has a higher UIDVALIDITY") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  std::uint32_t last = 0;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(bench.account->create("Again"));
    const auto validity = number(bench.select("Again")->uid_validity());
    CHECK(validity > last);
    last = validity;
    REQUIRE(bench.account->remove("Again"));
  }
}

TEST_CASE("RENAME INBOX moves its messages") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  bench.append("a");
  bench.append("b");
  REQUIRE(bench.account->rename("INBOX", "Old"));
  CHECK(bench.select("Old")->exists() == 2);
  CHECK(bench.select("INBOX")->exists() == 0);
}

TEST_CASE("no name leads outside of the account") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  const std::string nul("a\0b", 3), latin("caf\xe9");
  for (const auto& name :
       {std::string(), std::string(".."), std::string("."), std::string("a..b"), std::string(".a"), std::string("a."),
        std::string("../a"), std::string("a/b"), std::string("/etc"), std::string("a\nb"), nul, latin,
        std::string(300, 'x'), std::string("~root"), std::string("a.~b")}) {
    INFO(name);
    const auto made = bench.account->create(name);
    REQUIRE_FALSE(made);
    CHECK(made.error().kind == Error::Kind::refused);
    CHECK(bench.account->select(name, false).error().kind == Error::Kind::refused);
    CHECK_FALSE(bench.account->rename("INBOX", name));
    CHECK_FALSE(bench.account->subscribe(name, true));
  }
  // A folder that is a symbolic link is no mailbox.
  std::filesystem::create_directories(dir / "elsewhere/cur");
  std::filesystem::create_symlink(dir / "elsewhere", dir / "Maildir/.Link");
  CHECK_FALSE(bench.account->select("Link", false));
  CHECK(listing(*bench.account) == "INBOX\n");
  for (const auto& name : names_in((dir.path()).string())) CHECK((name == "Maildir" || name == "elsewhere"));
}

TEST_CASE("modified UTF-7 has one encoding for each name") {
  CHECK(to_mutf7("Büro & Co/日本") == "B&APw-ro &- Co/&ZeVnLA-");
  CHECK(from_mutf7("~peter/mail/&U,BTFw-/&ZeVnLIqe-") == "~peter/mail/台北/日本語");
  CHECK(from_mutf7(*to_mutf7("😀x")) == "😀x");
  for (const auto* bad :
       {"&", "&A", "&AGE-", "&U,BTFw-&ZeVnLIqe-", "&2D0-", "a\x01", "B\xc3\xbc", "&APw", "&APx-", "&-&"})
    CHECK_FALSE(from_mutf7(bad));
}

TEST_CASE("quota is kept in maildirsize and refuses what is over it") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  bench.append("a");
  REQUIRE(bench.account->set_quota_limits({600, 0}));
  const auto usage = bench.account->quota_usage();
  REQUIRE(usage);
  CHECK(usage->messages == 1);
  CHECK(mail::test::read_path(dir / "Maildir/maildirsize").starts_with("600S\n"));
  bench.append("b");
  const auto more = bench.account->quota_usage();
  CHECK(more->messages == 2);
  CHECK(more->octets == 2 * usage->octets);
  const auto text = simple_message("c", std::string(500, 'x'));
  NewMessage message;
  message.octets = text;
  const auto refused = bench.account->append("INBOX", {&message, 1});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().system == EDQUOT);
  CHECK(bench.select()->exists() == 2);
  CHECK(names_in(dir / "Maildir/tmp").empty());
  auto view = bench.select();
  FlagChange change;
  change.uids = all();
  change.flags = Flags::deleted;
  REQUIRE(view->store_flags(change));
  REQUIRE(view->expunge(nullptr));
  CHECK(bench.account->quota_usage()->messages == 0);
  CHECK(bench.account->quota_usage()->octets == 0);
}

TEST_CASE("metadata and rights") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  auto& account = *bench.account;
  REQUIRE(account.set_metadata("INBOX", "/Private/Comment", "tab\there\nline"));
  REQUIRE(account.set_metadata("", "/shared/comment", "server"));
  CHECK(account.metadata("INBOX")->at("/private/comment") == "tab\there\nline");
  CHECK(account.metadata("")->at("/shared/comment") == "server");
  REQUIRE(account.set_metadata("INBOX", "/private/comment", std::nullopt));
  CHECK(account.metadata("INBOX")->empty());
  CHECK_FALSE(account.set_metadata("INBOX", "/elsewhere/comment", "x"));
  REQUIRE(account.set_acl("INBOX", "user=bob", "lrs"));
  REQUIRE(account.set_acl("INBOX", "anyone", "l"));
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-acl") == "anyone l\nuser=bob lrs\n");
  REQUIRE(account.set_acl("INBOX", "anyone", std::nullopt));
  CHECK(account.acl("INBOX")->size() == 1);
}
