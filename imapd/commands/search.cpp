// SEARCH and UID SEARCH (RFC 9051 section 6.4.4), ESEARCH (4731), SEARCHRES (5182), PARTIAL (9394), CONDSTORE's MODSEQ
// (7162).
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imapd/commands/esearch.h"
#include "imapd/commands/families.h"
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

/// What SAVE keeps (RFC 5182 section 2.1): with MIN or MAX alone, those; else all that was found.
store::UidSet to_save(const imap::ReturnOptions& options, const store::UidSet& found) {
  if (options.partial) return partial_of(found, *options.partial);
  if ((!options.min && !options.max) || options.all || options.count || found.empty()) return found;
  store::UidSet saved;
  if (options.min) saved.add(lowest(found));
  if (options.max && highest(found) != lowest(found)) saved.add(highest(found));
  return saved;
}

bool asks_for_fuzziness(const imap::SearchKey& key) {
  return key.fuzzy || std::ranges::any_of(key.children, asks_for_fuzziness);
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

Completion search(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(search, imap::take_search_arguments(arguments));
  if (auto refused = decode_charset(search.key, search.charset)) return *refused;
  if (search.options.update || search.options.context) return bad("Unknown RETURN option");
  if (search.options.relevancy && !asks_for_fuzziness(search.key)) return bad("RELEVANCY needs FUZZY");
  const bool modseq = asks_for_modseq(search.key);
  if (modseq) session.use_condstore();

  SearchEvaluator evaluator(session);
  const auto all = everything(session.view());
  if (!session.may_block() && (all.count() > kMostInline || !evaluator.ready(search.key, all))) return on_worker();
  const auto found = evaluator.evaluate(search.key, all);
  if (!found) {
    if (search.options.save) session.saved_result() = {};
    if (found.error().kind == Error::Kind::syntax) return bad(found.error().text);
    return failed(found.error(), "SEARCH is not possible");
  }
  std::uint64_t highest_modseq = 0;
  if (modseq)
    session.view().rows(*found, [&](store::SequenceNumber, const store::MessageRow& row) {
      highest_modseq = std::max(highest_modseq, store::number(row.modseq));
      return true;
    });
  if (search.options.save) session.saved_result() = to_save(search.options, *found);
  const bool only_save = search.options.save && !search.options.min && !search.options.max && !search.options.all &&
                         !search.options.count && !search.options.partial;
  if (only_save) return ok("SEARCH completed, result saved");
  if (!search.options.given && !session.enabled().imap4rev2) {
    send_search(session, *found, highest_modseq);
    return ok("SEARCH completed");
  }
  auto options = search.options;
  if (!options.given) options.all = true;
  Esearch answer{
      .options = options, .numbers = numbers_of(session, *found), .order = nullptr, .modseq = highest_modseq};
  if (options.partial) answer.partial = numbers_of(session, partial_of(*found, *options.partial));
  send_esearch(session, answer);
  return ok("SEARCH completed");
}

constexpr std::array kSearchCommands{
    Command{.name = "SEARCH", .run = search, .states = kSelected, .keeps_numbers = true},
    Command{.name = "UID SEARCH", .run = search, .states = kSelected, .keeps_numbers = true},
};

}  // namespace

void send_esearch(Session& session, const Esearch& answer) {
  const auto& options = answer.options;
  const bool empty = answer.order != nullptr ? answer.order->empty() : answer.numbers.empty();
  auto& out = session.out();
  out += "* ESEARCH (TAG \"" + session.tag() + "\")";
  if (session.uid_command()) out += " UID";
  const auto number = [&](std::string_view name, std::uint64_t value) {
    (out += ' ') += name;
    out += ' ';
    append_decimal(out, value);
  };
  const auto list = [&](const std::vector<std::uint32_t>& numbers) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (i > 0) out += ',';
      append_decimal(out, numbers[i]);
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
