// Mailboxes through the public interface: what a session sees, what others see of it, what is in the Maildir.
#include <catch2/catch.hpp>
#include <condition_variable>
#include <mutex>

#include "message/charset.h"
#include "message/search_text.h"
#include "store/account_impl.h"
#include "store/deliver.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::store;
using namespace mail::store::test;

TEST_CASE("an appended message is there, with UID, flags, date and sizes") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  const auto text = simple_message("one");
  NewMessage message;
  message.octets = text;
  message.flags = Flags::seen | Flags::flagged;
  message.keywords = {"$Important", "work"};
  message.internal_date = 800000000;
  const auto done = bench.account->append("inbox", {&message, 1});
  REQUIRE(done);
  CHECK(done->destination.text() == "1");
  auto view = bench.select();
  CHECK(view->exists() == 1);
  CHECK(view->recent() == 1);
  CHECK(view->uid_validity() == done->uid_validity);
  const auto row = view->row(Uid{1});
  REQUIRE(row);
  CHECK(row->flags == (Flags::seen | Flags::flagged));
  CHECK(row->internal_date == 800000000);
  CHECK(row->octets == text.size());
  CHECK(view->keywords() == std::vector<std::string>{"$Important", "work"});
  CHECK(row->keywords == 3);
  const auto file = view->open_message(Uid{1});
  REQUIRE(file);
  CHECK((*file)->wire() == text);
  const auto names = names_in(dir / "Maildir/cur");
  REQUIRE(names.size() == 1);
  CHECK(names[0].ends_with(":2,FSab"));
  CHECK(names[0].find(",S=" + std::to_string((*file)->raw().size()) + ",W=" + std::to_string(text.size())) !=
        std::string::npos);
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-keywords") == "0 $Important\n1 work\n");
  CHECK(mail::test::read_path(dir / "Maildir/dovecot-uidlist").starts_with("3 V"));
  CHECK(names_in(dir / "Maildir/tmp").empty());
}

TEST_CASE("flags are written behind, and survive without the index") {
  mail::test::TemporaryDirectory dir;
  std::uint32_t validity = 0;
  {
    Bench bench(dir / "Maildir");
    for (int i = 0; i < 5; ++i) bench.append("m" + std::to_string(i));
    auto view = bench.select();
    validity = number(view->uid_validity());
    FlagChange change;
    change.uids = UidSet({{Uid{2}, Uid{3}}});
    change.flags = Flags::seen;
    change.keywords = {"todo"};
    const auto out = view->store_flags(change);
    REQUIRE(out);
    CHECK(out->changed == std::vector<Uid>{Uid{2}, Uid{3}});
    CHECK(view->row(Uid{3})->flags == Flags::seen);
    CHECK(view->row(Uid{3})->modseq == out->modseq);
    bench.store->write_pending();
    int seen = 0;
    for (const auto& name : names_in(dir / "Maildir/cur")) seen += name.ends_with(":2,Sa") ? 1 : 0;
    CHECK(seen == 2);
  }
  for (const auto* name : {"relais.index", "relais.log", "relais.cache"})
    std::filesystem::remove(dir / ("Maildir/" + std::string(name)));
  Bench bench(dir / "Maildir");
  auto view = bench.select();
  CHECK(view->exists() == 5);
  CHECK(number(view->uid_validity()) == validity);
  CHECK(view->row(Uid{3})->flags == Flags::seen);
  CHECK(view->keywords() == std::vector<std::string>{"todo"});
  CHECK(view->row(Uid{2})->keywords == 1);
  CHECK(view->existing(all()).text() == "1:5");
}

TEST_CASE("a session hears of expunges only when they are allowed, and numbers stay until then") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  for (int i = 0; i < 6; ++i) bench.append("m" + std::to_string(i));
  auto ann = bench.select(), bob = bench.select();
  FlagChange change;
  change.uids = UidSet({{Uid{2}, Uid{2}}, {Uid{5}, Uid{5}}});
  change.flags = Flags::deleted;
  REQUIRE(ann->store_flags(change));
  auto changes = bob->sync(false);
  CHECK(changes.flags == std::vector<Uid>{Uid{2}, Uid{5}});
  CHECK(ann->sync(false).flags.empty());  // its own doing
  const auto gone = ann->expunge(nullptr);
  REQUIRE(gone);
  CHECK(gone->text() == "2,5");
  bench.append("later");
  changes = bob->sync(false);
  CHECK(changes.expunged.empty());
  CHECK(changes.exists == 7);
  CHECK(bob->uid(SequenceNumber{3}) == Uid{3});
  changes = bob->sync(true);
  CHECK(changes.expunged == std::vector<SequenceNumber>{SequenceNumber{2}, SequenceNumber{4}});
  CHECK(changes.expunged_uids == std::vector<Uid>{Uid{2}, Uid{5}});
  CHECK(changes.exists == 5);
  CHECK(bob->uid(SequenceNumber{2}) == Uid{3});
  CHECK(bob->sequence(Uid{7}) == SequenceNumber{5});
  CHECK(bob->last_uid() == Uid{7});
  changes = ann->sync(true);
  CHECK(changes.expunged.size() == 2);
  CHECK(changes.exists == 5);
  CHECK(ann->uids_of(SequenceNumber{1}, SequenceNumber{5}).text() == "1,3:4,6:7");
  bench.store->write_pending();
  CHECK(names_in(dir / "Maildir/cur").size() == 5);
  CHECK(ann->vanished_since(ModSeq{1}, {}).text() == "2,5");
}

TEST_CASE("views that lag behind see a consistent mailbox whatever the others do") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  for (int i = 0; i < 40; ++i) bench.append("m" + std::to_string(i));
  std::vector<std::shared_ptr<View>> views;
  std::vector<std::vector<Uid>> expected;
  const auto uids = [](View& view) {
    std::vector<Uid> out;
    for (std::uint32_t n = 1; n <= view.exists(); ++n) out.push_back(*view.uid(SequenceNumber{n}));
    return out;
  };
  unsigned seed = 7;
  const auto random = [&](unsigned below) { return (seed = seed * 1103515245 + 12345) / 65536 % below; };
  for (int i = 0; i < 4; ++i) views.push_back(bench.select()), expected.push_back(uids(*views.back()));
  for (int step = 0; step < 300; ++step) {
    const auto who = random(4);
    switch (random(4)) {
      case 0: {
        const auto number = 1 + random(50);
        FlagChange change;
        change.uids = UidSet::of(Uid{number});
        change.flags = Flags::deleted;
        REQUIRE(views[who]->store_flags(change));
        REQUIRE(views[who]->expunge(&change.uids));
        break;
      }
      case 1:
        bench.append("x");
        break;
      default: {
        const auto changes = views[who]->sync(random(2) == 0);
        for (const auto gone : changes.expunged)
          expected[who].erase(expected[who].begin() + static_cast<int>(number(gone)) - 1);
        for (auto n = expected[who].size() + 1; n <= views[who]->exists(); ++n)
          expected[who].push_back(*views[who]->uid(SequenceNumber{static_cast<unsigned>(n)}));
        CHECK(changes.exists == views[who]->exists());
      }
    }
    for (std::size_t i = 0; i < views.size(); ++i) REQUIRE(uids(*views[i]) == expected[i]);
  }
}

TEST_CASE("other programs add, flag, move and remove files") {
  mail::test::TemporaryDirectory dir;
  auto settings = quick_settings();
  settings.watch = false;  // the files are to be found together
  Bench bench(dir / "Maildir", settings);
  bench.append("first");
  auto view = bench.select();
  write_text(dir / "Maildir/new/1700000000.M1P1.other", "Subject: new\n\nx\n");
  write_text(dir / "Maildir/cur/1600000000.M1P1.other:2,FS", "Subject: old\n\ny\n");
  write_text(dir / "Maildir/cur/1500000000.noinfo", "Subject: none\n\nz\n");
  write_text(dir / "Maildir/cur/1500000001.odd:2,SXq", "Subject: odd\n\nz\n");
  std::filesystem::create_symlink("/etc/passwd", dir / "Maildir/new/1700000009.link");
  REQUIRE(view->refresh());
  auto changes = view->sync(true);
  CHECK(changes.exists == 5);
  CHECK(view->row(Uid{2})->flags == Flags::none);
  CHECK(view->row(Uid{3})->flags == Flags::seen);
  CHECK(view->row(Uid{4})->flags == (Flags::flagged | Flags::seen));
  CHECK(view->row(Uid{5})->flags == Flags::none);
  CHECK((*view->open_message(Uid{5}))->raw() == "Subject: new\n\nx\n");
  CHECK((*view->open_message(Uid{2}))->raw() == "Subject: none\n\nz\n");
  CHECK((*view->open_message(Uid{3}))->raw() == "Subject: odd\n\nz\n");

  bench.store->write_pending();  // takes the new one to cur
  CHECK(std::filesystem::exists(dir / "Maildir/cur/1700000000.M1P1.other:2,"));
  std::filesystem::rename(dir / "Maildir/cur/1700000000.M1P1.other:2,", dir / "Maildir/cur/1700000000.M1P1.other:2,R");
  std::filesystem::remove(dir / "Maildir/cur/1500000000.noinfo");
  REQUIRE(view->refresh());
  changes = view->sync(true);
  CHECK(changes.flags == std::vector<Uid>{Uid{5}});
  CHECK(changes.expunged_uids == std::vector<Uid>{Uid{2}});
  CHECK(view->row(Uid{5})->flags == Flags::answered);
}

TEST_CASE("flags of another program and ours that are still to be written are merged") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  const auto uid = bench.append("m", Flags::seen | Flags::flagged);
  auto view = bench.select();
  FlagChange change;
  change.uids = UidSet::of(uid);
  change.flags = Flags::answered;
  REQUIRE(view->store_flags(change));
  const auto name = names_in(dir / "Maildir/cur").front();
  // The other program takes \Flagged away and sets \Deleted, not knowing of our \Answered.
  std::filesystem::rename(dir / ("Maildir/cur/" + name),
                          dir / ("Maildir/cur/" + name.substr(0, name.find(':')) + ":2,ST"));
  REQUIRE(view->refresh());
  CHECK(view->row(uid)->flags == (Flags::seen | Flags::answered | Flags::deleted));
  bench.store->write_pending();
  CHECK(names_in(dir / "Maildir/cur").front().ends_with(":2,RST"));
}

TEST_CASE("COPY links, MOVE renames, keywords come along") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  for (int i = 0; i < 4; ++i) bench.append("m" + std::to_string(i), Flags::seen);
  REQUIRE(bench.account->create("Work.2024"));
  auto other = bench.select("Work.2024");
  {
    FlagChange first;
    first.keywords = {"zero"};
    bench.append("w", Flags::none, "Work.2024");
    first.uids = UidSet::of(Uid{1});
    REQUIRE(other->store_flags(first));
  }
  auto view = bench.select();
  FlagChange change;
  change.uids = UidSet({{Uid{1}, Uid{2}}});
  change.keywords = {"todo"};
  REQUIRE(view->store_flags(change));
  const auto copied = view->copy(UidSet({{Uid{1}, Uid{3}}}), "Work.2024");
  REQUIRE(copied);
  CHECK(copied->source.text() == "1:3");
  CHECK(copied->destination.text() == "2:4");
  CHECK(other->sync(true).exists == 4);
  CHECK(other->row(Uid{2})->keywords == 2);
  CHECK(other->row(Uid{4})->keywords == 0);
  CHECK(other->row(Uid{2})->flags == Flags::seen);
  CHECK((*other->open_message(Uid{4}))->wire() == simple_message("m2"));
  const auto moved = view->move(all(), "Work.2024");
  REQUIRE(moved);
  CHECK(moved->destination.text() == "5:8");
  CHECK(view->sync(true).exists == 0);
  CHECK(other->sync(true).exists == 8);
  CHECK(names_in(dir / "Maildir/cur").empty());
  CHECK_FALSE(view->copy(all(), "Nowhere"));
  CHECK(view->copy(all(), "Nowhere").error().kind == Error::Kind::not_found);
}

TEST_CASE("STORE UNCHANGEDSINCE leaves alone what changed meanwhile") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  bench.append("a");
  bench.append("b");
  auto view = bench.select();
  const auto before = view->highest_modseq();
  FlagChange change;
  change.uids = UidSet::of(Uid{1});
  change.flags = Flags::seen;
  REQUIRE(view->store_flags(change));
  change.uids = all();
  change.flags = Flags::flagged;
  change.unchanged_since = before;
  const auto out = view->store_flags(change);
  REQUIRE(out);
  CHECK(out->modified.text() == "1");
  CHECK(out->changed == std::vector<Uid>{Uid{2}});
  CHECK(view->changed_since(before).text() == "1:2");
}

TEST_CASE("summaries: envelope, structure, header fields, search texts; a copy shares them") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  bench.append("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
  bench.append("other");
  auto view = bench.select();
  CHECK_FALSE(view->has_summaries(all()));
  REQUIRE(view->complete_summaries(all()));
  CHECK(view->has_summaries(all()));
  int count = 0;
  view->summaries(all(), [&](SequenceNumber number, const MessageRow& row, const Summary& summary) {
    ++count;
    if (store::number(number) == 1) {
      CHECK(summary.envelope.find("=?utf-8?Q?Gr=C3=BC=C3=9Fe?=") != std::string_view::npos);
      CHECK(summary.bodystructure.starts_with("(\"text\" \"plain\""));
      CHECK(summary.header_fields.find("From: Ann <ann@example.org>\r\n") != std::string_view::npos);
      CHECK(summary.octets == row.octets);
      CHECK(summary.sent_date == 880127706);
    }
    return true;
  });
  CHECK(count == 2);
  View::TextQuery query;
  query.where = View::TextQuery::Where::subject;
  query.needle = "GRÜSSE";
  CHECK(view->search_ready(query, all()));
  CHECK(view->search_text(query, all())->text() == "1");
  query.where = View::TextQuery::Where::body;
  query.needle = "hELLO";
  CHECK(view->search_text(query, all())->text() == "1:2");
  query.where = View::TextQuery::Where::header;
  query.field = "message-id";
  query.needle = "";
  CHECK(view->search_text(query, all())->text() == "1:2");
  query.field = "x-none";
  CHECK(view->search_text(query, all())->text().empty());
  REQUIRE(bench.account->create("Copies"));
  REQUIRE(view->copy(all(), "Copies"));
  CHECK(bench.select("Copies")->has_summaries(all()));
}

TEST_CASE("delivery: once, to several mailboxes, seen by an open session") {
  mail::test::TemporaryDirectory dir;
  auto settings = quick_settings();
  settings.write_behind = std::chrono::milliseconds(1);
  Bench bench(dir / "Maildir", settings);
  auto view = bench.select();
  std::mutex mutex;
  std::condition_variable changed;
  bool told = false;
  view->set_notify([&] {
    std::lock_guard lock(mutex);
    told = true;
    changed.notify_all();
  });
  Delivery delivery;
  const auto text = simple_message("d");
  delivery.content = text;
  DeliveryTarget target;
  target.account = bench.account;
  target.prefix = "Return-Path: <x@example.org>\r\n";
  target.id = "ID_1";
  delivery.targets.push_back(target);
  target.mailbox = "Lists.relais";
  target.create = true;
  target.flags = Flags::seen;
  delivery.targets.push_back(target);
  target.mailbox = "Nowhere";
  target.create = false;
  delivery.targets.push_back(target);
  auto out = deliver(*bench.store, {&delivery, 1});
  REQUIRE(out.size() == 1);
  CHECK(out[0].targets[0]);
  CHECK(out[0].targets[1]);
  REQUIRE_FALSE(out[0].targets[2]);
  CHECK(out[0].targets[2].error().kind == Error::Kind::not_found);
  {
    std::unique_lock lock(mutex);
    CHECK(changed.wait_for(lock, std::chrono::seconds(10), [&] { return told; }));
  }
  CHECK(view->sync(true).exists == 1);
  CHECK((*view->open_message(Uid{1}))->wire() == target.prefix + text);
  delivery.targets.resize(2);
  out = deliver(*bench.store, {&delivery, 1});
  CHECK(out[0].targets[0]);
  REQUIRE(view->refresh());
  CHECK(view->sync(true).exists == 0 + view->exists());
  CHECK(view->exists() == 1);
  auto list = bench.select("Lists.relais");
  CHECK(list->exists() == 1);
  CHECK(list->row(Uid{1})->flags == Flags::seen);
  view->set_notify({});
}

namespace {

/// Forty messages with various words in them, as they lie in the Maildir.
std::vector<std::string> fill_with_words(Bench& bench) {
  std::vector<std::string> texts;
  const std::vector<std::string> words{"alpha", "beta", "gamma", "Straße", "日本語", "delta"};
  for (unsigned i = 0; i < 40; ++i) {
    std::string body;
    for (unsigned w = 0; w < words.size(); ++w)
      if ((i * 7 + w * 3) % 5 < 2) body += words[w] + " ";
    texts.push_back(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n" +
        simple_message("x" + std::to_string(i), body));
    NewMessage message;
    message.octets = texts.back();
    REQUIRE(bench.account->append("INBOX", {&message, 1}));
  }
  return texts;
}

UidSet full_scan(const std::vector<std::string>& texts, const std::string& needle, bool with_header) {
  UidSet out;
  message::Tree tree;
  std::string text;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto body = message::search_text(texts[i], tree, text);
    if (text.find(message::fold_case(needle), with_header ? 0 : body) != std::string::npos)
      out.add(static_cast<Uid>(i + 1));
  }
  return out;
}

void searches_are_exact(View& view, const std::vector<std::string>& texts) {
  for (const auto* needle : {"ALPHA", "et", "a", "strasse", "本語", "nothing", "a gam", "x3", "x1", "Subject: X2"}) {
    for (const auto where : {View::TextQuery::Where::body, View::TextQuery::Where::text}) {
      View::TextQuery query;
      query.where = where;
      query.needle = needle;
      INFO(needle);
      const auto found = view.search_text(query, all());
      REQUIRE(found);
      message::Tree tree;
      std::string scratch;
      UidSet by_parts;
      const bool with_header = where == View::TextQuery::Where::text;
      for (std::size_t i = 0; i < texts.size(); ++i)
        if (message::search_text_contains(texts[i], with_header, message::fold_case(needle), tree, scratch))
          by_parts.add(static_cast<Uid>(i + 1));
      CHECK(by_parts.text() == found->text());
      CHECK(found->text() == full_scan(texts, needle, where == View::TextQuery::Where::text).text());
    }
  }
}

}  // namespace

TEST_CASE("a text search gives what a full scan gives, without its index and with it") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  const auto texts = fill_with_words(bench);
  auto view = bench.select();
  CHECK(full_scan(texts, "alpha", false).count() == 16);
  searches_are_exact(*view, texts);  // the first query makes the index
  searches_are_exact(*view, texts);
}

namespace {

/// All that a depth of reading gives of all messages, one text for each kind of it.
struct Read {
  std::string envelopes, header_fields, sizes, keys;
  bool structures = true;
};
Read read_all(View& view, SummaryDepth depth) {
  Read out;
  view.read_summaries(all(), depth)->next([&](SequenceNumber, const MessageRow& row, const Summary& summary) {
    out.envelopes += summary.envelope;
    out.header_fields += summary.header_fields;
    out.sizes += std::to_string(row.octets) + ' ';
    for (const auto text :
         {summary.base_subject, summary.sort_from, summary.sort_to, summary.sort_cc, summary.display_from,
          summary.display_to, summary.message_id, summary.in_reply_to, summary.references, summary.search_from,
          summary.search_to, summary.search_cc, summary.search_bcc, summary.search_subject})
      out.keys.append(text) += '|';
    out.keys += std::to_string(summary.sent_date) + (summary.is_reply_or_forward ? "r\n" : "\n");
    out.structures = out.structures && !summary.bodystructure.empty();
    return true;
  });
  return out;
}

}  // namespace

TEST_CASE("a first visit reads summaries as they are asked for, of headers alone where they tell all") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  fill_with_words(bench);
  // A header that is longer than the first piece that is read of a file, and one without an end.
  for (const std::string end : {"\n\nbody\n", ""})
    write_text(dir / ("Maildir/cur/1700000000.M1P1.long" + std::to_string(end.size()) + ":2,"),
               "X-Long: " + std::string(20000, 'x') + "\nSubject: Re: late\nFrom: a@b.example" + end);
  write_text(dir / "Maildir/cur/1700000000.M1P1.empty:2,", "");
  auto view = bench.select();
  const auto header = read_all(*view, SummaryDepth::header_and_size);
  CHECK(read_all(*view, SummaryDepth::header).envelopes == header.envelopes);
  CHECK(read_all(*view, SummaryDepth::envelope).envelopes == header.envelopes);
  CHECK(header.envelopes.size() > 40 * 100);
  CHECK_FALSE(header.structures);
  CHECK_FALSE(view->has_summaries(UidSet::of(view->last_uid())));
  const auto whole = read_all(*view, SummaryDepth::whole);
  CHECK(whole.structures);
  CHECK(whole.envelopes == header.envelopes);
  CHECK(whole.header_fields == header.header_fields);
  CHECK(whole.sizes == header.sizes);
  CHECK(whole.keys.find("late") != std::string::npos);
  CHECK(view->has_summaries(all()));
  // What is compared is the same where only headers are read.
  auto settings = quick_settings();
  settings.index_ahead = true;
  Bench second(dir / "Maildir", settings, Disk::system(), dir / "index");
  CHECK(read_all(*second.select(), SummaryDepth::search_keys).keys == whole.keys);
}

TEST_CASE("a first visit goes on where it was left, and tells of flags as they are then") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  for (const auto* folder : {"cur", "new", "tmp"})
    std::filesystem::create_directories(dir / ("Maildir/" + std::string(folder)));
  constexpr unsigned kMessages = 1500;
  for (unsigned i = 0; i < kMessages; ++i)
    write_text(dir / ("Maildir/cur/" + std::to_string(1700000000 + i) + ".M1P1.host:2,"),
               "Subject: s" + std::to_string(i) + "\n\n");
  auto view = bench.select();
  REQUIRE(view->exists() == kMessages);
  // Of every other message: more ranges than are looked at together.
  UidSet odd;
  for (unsigned uid = 1; uid <= kMessages; uid += 2) odd.add(static_cast<Uid>(uid));
  for (const auto depth : {SummaryDepth::envelope, SummaryDepth::header, SummaryDepth::whole}) {
    const auto reading = view->read_summaries(odd, depth);
    std::vector<std::string> told;
    unsigned seen = 0;
    for (bool more = true; more;) {
      int now = 0;
      more = reading->next([&](SequenceNumber number, const MessageRow& row, const Summary& summary) {
        CHECK(store::number(number) == 2 * told.size() + 1);
        CHECK(summary.envelope.find("\"s" + std::to_string(store::number(number) - 1) + "\"") !=
              std::string_view::npos);
        told.emplace_back(summary.envelope);
        seen += has(row.flags, Flags::seen) ? 1U : 0U;
        return ++now < 7;
      });
      if (told.size() == 7) {  // these, and many more, were read by now
        FlagChange change;
        change.uids = UidSet::of(Uid{17});
        change.flags = Flags::seen;
        change.how = depth == SummaryDepth::header ? FlagChange::How::remove : FlagChange::How::add;
        REQUIRE(view->store_flags(change));
      }
    }
    CHECK(told.size() == kMessages / 2);
    CHECK(seen == (depth == SummaryDepth::header ? 0 : 1));
  }
  CHECK(view->has_summaries(odd));
  CHECK_FALSE(view->has_summaries(all()));
}

TEST_CASE("what a first visit found is in the snapshot when the store ends, and keywords are") {
  mail::test::TemporaryDirectory dir;
  constexpr unsigned kMessages = 4000;  // their records are longer than the shortest log that is worth a snapshot
  for (const auto* folder : {"cur", "new", "tmp"})
    std::filesystem::create_directories(dir / ("Maildir/" + std::string(folder)));
  write_text(dir / "Maildir/dovecot-keywords", "0 first\n1 second\n");
  for (unsigned i = 0; i < kMessages; ++i)
    write_text(dir / ("Maildir/cur/" + std::to_string(1700000000 + i) + ".M1P1.host:2," + (i == 7 ? "b" : "S")),
               "A: b\n\n");
  const auto keywords = [](View& view) {
    std::string out;
    view.rows(all(), [&](SequenceNumber, const MessageRow& row) {
      if (row.keywords != 0) out += std::to_string(number(row.uid)) + ":" + std::to_string(row.keywords) + " ";
      return true;
    });
    return out;
  };
  {
    Bench bench(dir / "Maildir");
    auto view = bench.select();
    CHECK(view->exists() == kMessages);
    CHECK(keywords(*view) == "8:2 ");
  }
  CHECK(std::filesystem::file_size(dir / "Maildir/relais.index") > kMessages * 50);
  Bench bench(dir / "Maildir");
  auto view = bench.select();
  CHECK(view->exists() == kMessages);
  CHECK(keywords(*view) == "8:2 ");
  FlagChange change;
  change.uids = UidSet::of(Uid{9});
  change.keywords = {"first"};
  REQUIRE(view->store_flags(change));
  CHECK(keywords(*view) == "8:2 9:1 ");
}

TEST_CASE("what is indexed ahead gives the same answers, also where the index was cut meanwhile") {
  mail::test::TemporaryDirectory dir;
  Bench bench(dir / "Maildir");
  const auto texts = fill_with_words(bench);
  auto view = bench.select();
  const auto mailbox = dynamic_cast<AccountImpl&>(*bench.account).mailbox("INBOX");
  REQUIRE(mailbox);
  int rounds = 0;
  for (;; ++rounds) {
    const auto more = (*mailbox)->index_ahead(7);
    REQUIRE(more);
    if (!*more) break;
  }
  CHECK(rounds == 5);
  CHECK(view->has_summaries(all()));
  const auto search = dir / "Maildir/relais.search", cache = dir / "Maildir/relais.cache";
  const auto octets = std::filesystem::file_size(search);
  CHECK(octets > 40 * 64);
  searches_are_exact(*view, texts);
  CHECK(std::filesystem::file_size(search) == octets);  // nothing was missing
  const auto envelopes = [&] {
    std::string out;
    view->summaries(all(), [&](SequenceNumber, const MessageRow&, const Summary& summary) {
      out += summary.envelope;
      return true;
    });
    return out;
  };
  const auto before = envelopes();
  std::filesystem::resize_file(search, octets / 2);
  std::filesystem::resize_file(cache, std::filesystem::file_size(cache) / 2);
  CHECK(envelopes() == before);
  searches_are_exact(*view, texts);
}
