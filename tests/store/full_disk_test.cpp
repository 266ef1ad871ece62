// A disk without room: what is there can be read, every change is refused and leaves nothing behind, and all goes on
// when there is room.
#include <catch2/catch.hpp>

#include "tests/store/support.h"
#include "tests/support/full_disk.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

StoreSettings settings() {
  auto out = quick_settings();
  out.watch = false;
  return out;
}

}  // namespace

TEST_CASE("a full disk: reading goes on, changes are refused and change nothing, and all goes on with room", "[full]") {
  mail::test::TemporaryDirectory dir;
  mail::test::FullDisk disk;
  Bench bench(dir / "Maildir", settings(), disk);
  for (int i = 1; i <= 3; ++i) bench.append("m" + std::to_string(i));
  REQUIRE(bench.account->create("Other"));
  bench.select("Other");
  disk.full = true;
  write_text(dir / "Maildir/new/1700000000.M1P1.elsewhere", "Subject: new\n\nx\n");  // another program found room
  auto view = bench.select();
  CHECK(view->exists() == 3);
  REQUIRE(view->open_message(Uid{1}));
  const auto text = simple_message("m4");
  NewMessage message;
  message.octets = text;
  const auto refused = [](const auto& result) {
    REQUIRE_FALSE(result);
    CHECK(result.error().system == ENOSPC);
    CHECK(result.error().kind == Error::Kind::temporary);
  };
  refused(bench.account->append("INBOX", {&message, 1}));
  refused(view->copy(all(), "Other"));
  refused(view->move(all(), "Other"));
  FlagChange change;
  change.uids = UidSet::of(Uid{1});
  change.flags = Flags::deleted;
  refused(view->store_flags(change));
  change.keywords = {"New"};
  refused(view->store_flags(change));
  refused(bench.account->create("Third"));
  refused(bench.account->subscribe("Other", true));
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "1:3");
  CHECK(view->row(Uid{1})->flags == Flags::none);
  CHECK(names_in(dir / "Maildir/tmp").empty());
  CHECK(names_in(dir / "Maildir/cur").size() == 3);
  CHECK(names_in(dir / "Maildir/.Other/cur").empty());
  CHECK_FALSE(std::filesystem::exists(dir / "Maildir/dovecot-uidlist.lock"));
  // A process that starts now can read too.
  {
    Bench second(dir / "Maildir", settings(), disk);
    CHECK(second.select()->existing(all()).text() == "1:3");
  }
  disk.full = false;
  REQUIRE(view->refresh());
  view->sync(true);
  CHECK(view->existing(all()).text() == "1:4");
  CHECK(bench.append("m5") == Uid{5});
  REQUIRE(view->store_flags(change));
  CHECK(view->row(Uid{1})->flags == Flags::deleted);
  REQUIRE(view->copy(UidSet::of(Uid{2}), "Other"));
  CHECK(bench.select("Other")->exists() == 1);
}
