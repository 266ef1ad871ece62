// SORT and THREAD with their UID forms (RFC 5256), SORT=DISPLAY (5957), ESORT (5267).
#include <algorithm>
#include <array>
#include <numeric>

#include "base/strings.h"
#include "imapd/commands/esearch.h"
#include "imapd/commands/families.h"
#include "imapd/search_evaluator.h"
#include "imapd/session.h"
#include "message/header.h"
#include "message/thread.h"

namespace mail::imapd {
namespace {

constexpr std::uint64_t kMostInline = 5'000;

/// What is common to SORT and THREAD: charset, program, and the messages found.
struct Found {
  store::UidSet uids;
  std::optional<Completion> instead;
};

Found find(Session& session, imap::Arguments& arguments) {
  const auto give_up = [](Completion completion) { return Found{{}, std::move(completion)}; };
  auto charset = arguments.astring();
  if (!charset) return give_up(bad(charset.error().text));
  if (auto space = arguments.space(); !space) return give_up(bad(space.error().text));
  auto key = imap::take_search_keys(arguments);
  if (!key) return give_up(bad(key.error().text));
  if (auto end = arguments.end(); !end) return give_up(bad(end.error().text));
  if (auto refused = decode_charset(*key, to_upper(*charset))) return give_up(*refused);
  if (asks_for_modseq(*key)) session.use_condstore();
  SearchEvaluator evaluator(session);
  const auto all = everything(session.view());
  const bool ready = all.count() <= kMostInline && evaluator.ready(*key, all) && session.view().has_summaries(all) &&
                     session.view().has_sizes(all);
  if (!ready && !session.may_block()) return give_up(on_worker());
  auto found = evaluator.evaluate(*key, all);
  if (!found)
    return give_up(found.error().kind == Error::Kind::syntax ? bad(found.error().text)
                                                             : failed(found.error(), "SEARCH is not possible"));
  if (!session.view().has_summaries(*found))
    if (auto done = session.view().complete_summaries(*found); !done)
      return give_up(failed(done.error(), "Messages cannot be read"));
  if (!session.view().has_sizes(*found))
    if (auto done = session.view().complete_sizes(*found); !done)
      return give_up(failed(done.error(), "Messages cannot be read"));
  return {std::move(*found), std::nullopt};
}

/// The values that messages are sorted by, column by column: texts lie in one string, so that 100,000 messages cost no
/// allocations.
class SortTable {
 public:
  SortTable(const std::vector<imap::SortKey>& keys, bool uids) : keys_(keys), uids_(uids) {}

  void add(store::SequenceNumber number, const store::MessageRow& row, const store::Summary& summary) {
    numbers_.push_back(uids_ ? store::number(row.uid) : store::number(number));
    for (const auto& key : keys_) values_.push_back(value(key.by, row, summary));
  }

  std::vector<std::uint32_t> sorted() const {
    std::vector<std::uint32_t> order(numbers_.size());
    std::iota(order.begin(), order.end(), 0U);
    // Stable: ties stand in the order of the mailbox (RFC 5256 section 3).
    std::ranges::stable_sort(order, [this](std::uint32_t a, std::uint32_t b) { return before(a, b); });
    for (auto& index : order) index = numbers_[index];
    return order;
  }

 private:
  struct Value {
    std::int64_t number = 0;  ///< Or where the text begins.
    std::uint32_t octets = 0;
  };
  static bool is_text(imap::SortKey::By by) {
    using By = imap::SortKey::By;
    return by == By::cc || by == By::from || by == By::subject || by == By::to || by == By::display_from ||
           by == By::display_to;
  }

  Value text(std::string_view text) {
    texts_ += text;
    return {static_cast<std::int64_t>(texts_.size() - text.size()), static_cast<std::uint32_t>(text.size())};
  }
  Value value(imap::SortKey::By by, const store::MessageRow& row, const store::Summary& summary) {
    using By = imap::SortKey::By;
    switch (by) {
      case By::arrival:
        return {row.internal_date, 0};
      case By::date:
        return {summary.sent_date, 0};
      case By::size:
        return {static_cast<std::int64_t>(row.octets), 0};
      case By::cc:
        return text(summary.sort_cc);
      case By::from:
        return text(summary.sort_from);
      case By::to:
        return text(summary.sort_to);
      case By::subject:
        return text(summary.base_subject);
      case By::display_from:
        return text(summary.display_from);
      case By::display_to:
        return text(summary.display_to);
      case By::relevancy:
        break;
    }
    return {};
  }

  bool before(std::uint32_t a, std::uint32_t b) const {
    const auto* left = &values_[a * keys_.size()];
    const auto* right = &values_[b * keys_.size()];
    for (std::size_t i = 0; i < keys_.size(); ++i, ++left, ++right) {
      int order = 0;
      if (is_text(keys_[i].by)) {
        const std::string_view all(texts_);
        order = all.substr(static_cast<std::size_t>(left->number), left->octets)
                    .compare(all.substr(static_cast<std::size_t>(right->number), right->octets));
      } else {
        order = left->number < right->number ? -1 : left->number > right->number ? 1 : 0;
      }
      if (order != 0) return keys_[i].reverse ? order > 0 : order < 0;
    }
    return false;
  }

  const std::vector<imap::SortKey>& keys_;
  bool uids_;
  std::vector<std::uint32_t> numbers_;
  std::vector<Value> values_;
  std::string texts_;
};

std::vector<std::uint32_t> partial_order(const std::vector<std::uint32_t>& order,
                                         std::pair<std::int64_t, std::int64_t> positions) {
  const auto count = static_cast<std::int64_t>(order.size());
  auto [first, last] = positions;
  if (first < 0) first += count + 1, last += count + 1;
  if (first > last) std::swap(first, last);
  first = std::max<std::int64_t>(first, 1);
  last = std::min(last, count);
  if (first > last) return {};
  return {order.begin() + (first - 1), order.begin() + last};
}

Completion sort(Session& session, imap::Arguments& arguments) {
  imap::ReturnOptions options;
  if (arguments.take_word("RETURN ")) {
    IMAPD_TRY(given, imap::take_return_options(arguments));
    options = given;
    IMAPD_CHECK(arguments.space());
    if (options.update || options.context || options.relevancy) return bad("Unknown RETURN option");
  }
  IMAPD_TRY(keys, imap::take_sort_keys(arguments));
  IMAPD_CHECK(arguments.space());
  const auto found = find(session, arguments);
  if (found.instead) return *found.instead;
  SortTable table(keys, session.uid_command());
  session.view().summaries(
      found.uids, [&](store::SequenceNumber number, const store::MessageRow& row, const store::Summary& summary) {
        table.add(number, row, summary);
        return true;
      });
  const auto order = table.sorted();
  if (options.save) session.saved_result() = found.uids;
  if (options.given) {
    Esearch answer{.options = options, .numbers = {}, .order = &order};
    if (options.partial) answer.partial_order = partial_order(order, *options.partial);
    send_esearch(session, answer);
    return ok("SORT completed");
  }
  auto& out = session.out();
  out.reserve(out.size() + order.size() * 7 + 16);
  out += "* SORT";
  for (const auto number : order) {
    out += ' ';
    append_decimal(out, number);
  }
  out += "\r\n";
  return ok("SORT completed");
}

/// True for "Re: …" and "Fwd: …": the index keeps the base subject, the header says what was taken off it.
bool is_reply_or_forward(const store::Summary& summary) {
  const auto subject = message::HeaderFields(summary.header_fields).find("Subject");
  return subject && message::base_subject(*subject).is_reply_or_forward;
}

Completion thread(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(algorithm, arguments.atom());
  const std::string name = to_upper(algorithm);
  if (name != "REFERENCES" && name != "REFS" && name != "ORDEREDSUBJECT") return bad("Unknown threading algorithm");
  IMAPD_CHECK(arguments.space());
  const auto found = find(session, arguments);
  if (found.instead) return *found.instead;
  std::vector<message::ThreadInput> inputs;
  inputs.reserve(found.uids.count());
  const bool uids = session.uid_command();
  session.view().summaries(
      found.uids, [&](store::SequenceNumber number, const store::MessageRow& row, const store::Summary& summary) {
        message::ThreadInput input;
        input.key = uids ? store::number(row.uid) : store::number(number);
        input.sent = std::chrono::sys_seconds(std::chrono::seconds(summary.sent_date));
        if (name != "ORDEREDSUBJECT") {
          input.message_id = summary.message_id;
          const auto references = summary.references.empty() ? summary.in_reply_to : summary.references;
          for (const auto id : split_words(references)) input.references.emplace_back(id);
        }
        if (name != "REFS") {
          input.subject.text = summary.base_subject;
          if (name == "REFERENCES") input.subject.is_reply_or_forward = is_reply_or_forward(summary);
        }
        inputs.push_back(std::move(input));
        return true;
      });
  const auto threads = name == "ORDEREDSUBJECT"
                           ? message::thread_by_subject(std::move(inputs))
                           : message::thread_by_references(std::move(inputs), name == "REFERENCES");
  auto& out = session.out();
  out += "* THREAD";
  if (!threads.empty()) out += ' ';
  out += message::to_imap(threads);
  out += "\r\n";
  return ok("THREAD completed");
}

constexpr std::array kSortCommands{
    Command{.name = "SORT", .run = sort, .states = kSelected, .capability = "SORT", .keeps_numbers = true},
    Command{.name = "UID SORT", .run = sort, .states = kSelected, .capability = "SORT=DISPLAY", .keeps_numbers = true},
    Command{
        .name = "THREAD", .run = thread, .states = kSelected, .capability = "THREAD=REFERENCES", .keeps_numbers = true},
    Command{
        .name = "UID THREAD", .run = thread, .states = kSelected, .capability = "THREAD=REFS", .keeps_numbers = true},
};

}  // namespace

std::span<const Command> sort_commands() { return kSortCommands; }

}  // namespace mail::imapd
