// The index's files made anew by another process, more than once between two looks of a session.
#include <catch2/catch.hpp>

#include "store/change_log.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

namespace {

/// What another process does when its log has grown long.
void rewrite_files(const std::string& maildir) {
  auto directory = Disk::system().open_directory(maildir);
  REQUIRE(directory);
  ChangeLog log(Disk::system(), *directory);
  const auto lock = log.lock();
  REQUIRE(lock);
  Image image;
  REQUIRE(log.load(image));
  REQUIRE(log.rewrite(image));
}

FlagChange adding(Uid uid, Flags flags) {
  FlagChange change;
  change.uids = UidSet::of(uid);
  change.flags = flags;
  return change;
}

}  // namespace

TEST_CASE("a session goes on where the index was made anew twice between two looks of its process") {
  mail::test::TemporaryDirectory temporary;
  const auto maildir = temporary / "ann";
  auto settings = quick_settings();
  settings.watch = false;  // it looks when it is told to
  Bench ours(maildir, settings), other(maildir, settings);
  for (const auto* subject : {"one", "two", "three", "four"}) ours.append(subject);
  const auto view = ours.select();
  CHECK(view->exists() == 4);
  const auto theirs = other.select();
  REQUIRE(theirs->store_flags(adding(Uid{3}, Flags::flagged)));
  rewrite_files(maildir);
  REQUIRE(theirs->refresh());
  REQUIRE(theirs->store_flags(adding(Uid{2}, Flags::deleted)));
  REQUIRE(theirs->expunge(nullptr));
  other.append("five", Flags::seen);
  rewrite_files(maildir);
  other.append("six");

  REQUIRE(view->refresh());
  CHECK(view->exists() == 4);  // what it was told holds until it is told more
  CHECK(view->uid(SequenceNumber{2}) == Uid{2});
  const auto changes = view->sync(true);
  CHECK(view->exists() == 5);
  CHECK(changes.exists_changed);
  CHECK(view->uid(SequenceNumber{2}) == Uid{3});
  CHECK(view->uid(SequenceNumber{5}) == Uid{6});
  CHECK(has(view->row(Uid{3})->flags, Flags::flagged));
  CHECK(has(view->row(Uid{5})->flags, Flags::seen));
  (void)theirs->sync(true);
  CHECK(view->highest_modseq() == theirs->highest_modseq());
  // And what it does is seen over there.
  REQUIRE(view->store_flags(adding(Uid{6}, Flags::answered)));
  REQUIRE(theirs->refresh());
  (void)theirs->sync(true);
  CHECK(has(theirs->row(Uid{6})->flags, Flags::answered));
  CHECK(theirs->exists() == 5);
  CHECK(theirs->first_unseen() == view->first_unseen());
}
