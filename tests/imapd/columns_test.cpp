// The columns that SEARCH, SORT and THREAD compare, filled by several sessions at once without an index.
#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "imapd/columns.h"
#include "tests/store/support.h"

using namespace mail;
using namespace mail::imapd;
using store::Uid;
using store::test::simple_message;

namespace {

constexpr int kMessages = 300, kSubjects = 7;

std::string subject(int i) { return "subject" + std::to_string(i % kSubjects); }

/// Files as another program delivers them: nothing is known of them.
void deliver(const std::string& maildir, int from, int to) {
  for (int i = from; i < to; ++i)
    store::test::write_text(maildir + "/cur/" + std::to_string(1700000000 + i) + ".M1P1.host:2,",
                            simple_message(subject(i), std::string(static_cast<std::size_t>(i), 'x')));
}

store::UidSet all_of(const store::View& view) {
  return view.uids_of(store::SequenceNumber{1}, store::SequenceNumber{view.exists()});
}

}  // namespace

TEST_CASE("sessions that search at once without an index share columns, and new mail comes to them") {
  mail::test::TemporaryDirectory dir;
  for (const auto* folder : {"cur", "new", "tmp"})
    std::filesystem::create_directories(dir / ("Maildir/" + std::string(folder)));
  deliver(dir / "Maildir", 0, kMessages);
  auto settings = store::test::quick_settings();
  settings.index_ahead = GENERATE(true, false);
  store::test::Bench bench(dir / "Maildir", settings);
  ColumnsCache cache;
  auto first = bench.select();
  if (!settings.index_ahead) CHECK_FALSE(cache.ready(*first, all_of(*first)));
  std::atomic<int> right{0};
  std::vector<std::thread> sessions;
  for (int session = 0; session < 6; ++session)
    sessions.emplace_back([&] {
      const auto view = bench.select();
      const auto uids = all_of(*view);
      const auto columns = cache.of(*view, uids);
      std::size_t found = 0;
      for (int i = 0; i < kSubjects; ++i)
        found += columns->containing(Columns::Text::search_subject, subject(i), uids).count();
      const auto order = columns->sorted({{imap::SortKey::By::subject}}, *view, uids, false);
      const bool sorted = order.size() == kMessages && std::ranges::is_sorted(order, {}, [](std::uint32_t number) {
                            return subject(static_cast<int>(number) - 1);
                          });
      if (found == kMessages && sorted && columns->messages() == kMessages) ++right;
    });
  for (auto& session : sessions) session.join();
  CHECK(right == 6);
  CHECK(cache.ready(*first, all_of(*first)));
  deliver(dir / "Maildir", kMessages, kMessages + 3);
  REQUIRE(first->refresh());
  first->sync(true);
  REQUIRE(first->exists() == kMessages + 3);
  const auto columns = cache.of(*first, all_of(*first));
  CHECK(columns->messages() == kMessages + 3);
  CHECK(columns->containing(Columns::Text::search_subject, subject(kMessages), all_of(*first))
            .contains(*first->uid(store::SequenceNumber{kMessages + 1})));
}

TEST_CASE("only SORT by size needs sizes") {
  using By = imap::SortKey::By;
  CHECK(sorts_by_size({{By::subject}, {By::size, true}}));
  CHECK_FALSE(sorts_by_size({{By::date}, {By::arrival}}));
}
