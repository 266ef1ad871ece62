// SEARCH and UID SEARCH (RFC 9051 section 6.4.4), ESEARCH (4731), SEARCHRES (5182), PARTIAL (9394), CONDSTORE's MODSEQ
// (7162), CONTEXT=SEARCH (5267).
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imapd/commands/esearch.h"
#include "imapd/commands/families.h"
#include "imapd/message_limit.h"
#include "imapd/search_evaluator.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {
namespace {

/// A walk over more messages than this is not for an event loop.
constexpr std::uint64_t kMostInline = 20'000;

imap::NumberSet numbers_of(Session& session, const store::UidSet& uids) {
  imap::NumberSet numbers;
  if (session.uid_command() || session.enabled().uid_only) {
    for (const auto& range : uids.ranges()) numbers.add(store::number(range.first), store::number(range.last));
    return numbers;
  }
  session.view().rows(uids, [&](store::SequenceNumber number, const store::MessageRow&) {
    numbers.add(store::number(number));
    return true;
  });
  return numbers;
}

void send_search(Session& session, const store::UidSet& found, std::uint64_t modseq) {
  auto& out = session.out();
  out += "* SEARCH";
  numbers_of(session, found).for_each([&](std::uint32_t number) {
    out += ' ';
    append_decimal(out, number);
  });
  if (modseq != 0 && !found.empty()) out += " (MODSEQ " + decimal(modseq) + ")";
  out += "\r\n";
}

void answer_search(Session& session, imap::ReturnOptions options, const store::UidSet& found, std::uint64_t modseq) {
  if (!options.given && !session.enabled().imap4rev2) return send_search(session, found, modseq);
  if (!options.given) options.all = true;
  Esearch answer{.options = options, .numbers = numbers_of(session, found), .order = nullptr, .modseq = modseq};
  if (options.partial) answer.partial = numbers_of(session, partial_of(found, *options.partial));
  send_esearch(session, answer);
}

Completion run_search(Session& session, imap::SearchArguments& search) {
  if (auto refused = decode_charset(search.key, search.charset)) return *refused;
  if (auto refused = insert_filters(session, search.key, search.charset)) return *refused;
  if (auto refused = refuse_numbers(session, search.key)) return *refused;
  if (search.options.update && session.contexts().uses(session.tag())) return bad("Tag reuse");
  IMAPD_TRY(wanted, look_up(search.options.update_attributes));
  if (search.options.relevancy && !asks_for_fuzziness(search.key)) return bad("RELEVANCY needs FUZZY");
  const bool modseq = asks_for_modseq(search.key);
  if (modseq) session.use_condstore();

  SearchEvaluator evaluator(session);
  IMAPD_TRY(looked_at, messages_to_look_at(session, search.key));
  const auto part = limited(session, std::move(looked_at));
  const auto& all = part.uids;
  if (!session.may_block() && (all.count() > kMostInline || !evaluator.ready(search.key, all))) return on_worker();
  const auto found = evaluator.evaluate(search.key, all);
  if (!found) {
    if (found.error().kind == Error::Kind::syntax) return bad(found.error().text);
    return failed(found.error(), "SEARCH is not possible");
  }
  std::optional<SearchContext> context;
  if (search.options.update) {
    // Before SAVE gives `$` another meaning.
    IMAPD_TRY(key, without_numbers(session, std::move(search.key)));
    context = SearchContext{.key = std::move(key), .wanted = std::move(wanted), .found = *found};
  }
  const auto told = returned(search.options, *found);
  if (search.options.save) session.saved_result() = told;
  const bool only_save = only_saves(search.options);
  if (!only_save) answer_search(session, search.options, *found, modseq ? highest_modseq(session.view(), told) : 0);
  if (context) keep_updated(session, std::move(*context));
  return ok(part.code + (only_save ? "SEARCH completed, result saved" : "SEARCH completed"));
}

Completion search(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(search, imap::take_search_arguments(arguments));
  auto done = run_search(session, search);
  forget_saved(session, search.options, done);
  return done;
}

/// CANCELUPDATE (RFC 5267 section 4.3.5). A search that was refused its updates may be named too.
Completion cancel_update(Session& session, imap::Arguments& arguments) {
  do {
    IMAPD_TRY(tag, arguments.string());
    session.contexts().cancel(tag);
  } while (arguments.take(' '));
  IMAPD_CHECK(arguments.end());
  return ok("No further updates");
}

constexpr std::array kSearchCommands{
    Command{.name = "CANCELUPDATE", .run = cancel_update, .states = kSelected, .capability = "CONTEXT=SEARCH"},
    Command{.name = "SEARCH", .run = search, .states = kSelected, .keeps_numbers = true},
    Command{.name = "UID SEARCH", .run = search, .states = kSelected, .keeps_numbers = true},
};

}  // namespace

store::UidSet returned(const imap::ReturnOptions& options, const store::UidSet& found) {
  if (options.all || options.count || found.empty()) return found;
  if (!options.min && !options.max && !options.partial) return found;
  auto some = options.partial ? partial_of(found, *options.partial) : store::UidSet{};
  if (options.min) some = sum(some, store::UidSet::of(lowest(found)));
  if (options.max) some = sum(some, store::UidSet::of(highest(found)));
  return some;
}

void forget_saved(Session& session, const imap::ReturnOptions& options, const Completion& done) {
  if (options.save && done.kind == Completion::Kind::no) session.saved_result() = {};
}

bool asks_for_fuzziness(const imap::SearchKey& key) {
  return key.fuzzy || std::ranges::any_of(key.children, asks_for_fuzziness);
}

bool only_saves(const imap::ReturnOptions& options) {
  return options.save && !options.min && !options.max && !options.all && !options.count && !options.partial;
}

std::uint64_t highest_modseq(const store::View& view, const store::UidSet& found) {
  std::uint64_t highest = 0;
  view.rows(found, [&](store::SequenceNumber, const store::MessageRow& row) {
    highest = std::max(highest, store::number(row.modseq));
    return true;
  });
  return highest;
}

void send_esearch(Session& session, const Esearch& answer) {
  const auto& options = answer.options;
  const bool empty = answer.order != nullptr ? answer.order->empty() : answer.numbers.empty();
  auto& out = session.out();
  out += "* ESEARCH (TAG \"" + session.tag() + "\"";
  if (answer.of != nullptr) {
    out += " MAILBOX ";
    session.append_mailbox(answer.mailbox);
    out += " UIDVALIDITY ";
    append_decimal(out, store::number(answer.of->uid_validity()));
  }
  out += ')';
  if (session.uid_command() || answer.of != nullptr) out += " UID";
  const auto number = [&](std::string_view name, std::uint64_t value) {
    (out += ' ') += name;
    out += ' ';
    append_decimal(out, value);
  };
  const auto list = [&](const std::vector<std::uint32_t>& numbers) {
    // In the order of the sort; only what ascends one by one may be told as a range.
    for (std::size_t i = 0, last = 0; i < numbers.size(); i = last + 1) {
      for (last = i; last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1;) ++last;
      if (i > 0) out += ',';
      append_decimal(out, numbers[i]);
      if (last == i) continue;
      out += ':';
      append_decimal(out, numbers[last]);
    }
  };
  if (!empty) {
    if (options.min) number("MIN", answer.order != nullptr ? answer.order->front() : answer.numbers.lowest());
    if (options.max) number("MAX", answer.order != nullptr ? answer.order->back() : answer.numbers.highest());
    if (options.all) {
      out += " ALL ";
      if (answer.order != nullptr)
        list(*answer.order);
      else
        answer.numbers.append_to(out);
    }
  }
  if (options.count) number("COUNT", answer.order != nullptr ? answer.order->size() : answer.numbers.count());
  if (options.partial) {
    out += " PARTIAL (" + decimal(options.partial->first) + ":" + decimal(options.partial->second) + " ";
    if (answer.order != nullptr) {
      if (answer.partial_order.empty()) out += "NIL";
      list(answer.partial_order);
    } else {
      out += answer.partial.empty() ? "NIL" : answer.partial.text();
    }
    out += ')';
  }
  if (answer.modseq != 0 && !empty) number("MODSEQ", answer.modseq);
  if (options.relevancy) {
    // Every match here is an exact one (RFC 6203 section 4: 1 to 100).
    out += " RELEVANCY (";
    const auto count = answer.order != nullptr ? answer.order->size() : answer.numbers.count();
    for (std::uint64_t i = 0; i < count; ++i) out += i == 0 ? "100" : " 100";
    out += ')';
  }
  out += "\r\n";
}

std::span<const Command> search_commands() { return kSearchCommands; }

}  // namespace mail::imapd
