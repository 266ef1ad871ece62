// SORT and THREAD with their UID forms (RFC 5256), SORT=DISPLAY (5957), ESORT and CONTEXT=SORT (5267).
#include <algorithm>
#include <array>

#include "base/strings.h"
#include "imapd/commands/esearch.h"
#include "imapd/commands/families.h"
#include "imapd/message_limit.h"
#include "imapd/search_evaluator.h"
#include "imapd/session.h"

namespace mail::imapd {
namespace {

/// Sorting and threading more than this for the first time is not for an event loop.
constexpr std::uint64_t kMostInline = 20'000;

/// What is common to SORT and THREAD: charset, program, and the messages found.
struct Found {
  store::UidSet uids;
  std::optional<Completion> instead;
  imap::SearchKey key{};
};

/// @param sizes  the sizes of what is found are wanted
/// @param whole  without all of the messages there is no answer: RFC 9738 section 3.3
Found find(Session& session, imap::Arguments& arguments, bool sizes, bool whole) {
  const auto give_up = [](Completion completion) { return Found{{}, std::move(completion)}; };
  auto charset = arguments.astring();
  if (!charset) return give_up(bad(charset.error().text));
  if (auto space = arguments.space(); !space) return give_up(bad(space.error().text));
  auto key = imap::take_search_keys(arguments);
  if (!key) return give_up(bad(key.error().text));
  if (auto end = arguments.end(); !end) return give_up(bad(end.error().text));
  if (auto refused = decode_charset(*key, to_upper(*charset))) return give_up(*refused);
  if (auto refused = insert_filters(session, *key, to_upper(*charset))) return give_up(*refused);
  if (auto refused = refuse_numbers(session, *key)) return give_up(*refused);
  if (asks_for_modseq(*key)) session.use_condstore();
  if (whole) {
    const auto looked_at = messages_to_look_at(session, *key);
    if (!looked_at) return give_up(bad(looked_at.error().text));
    if (auto refusal = over_limit(session, *looked_at); !refusal.empty()) return give_up(no(std::move(refusal)));
  }
  SearchEvaluator evaluator(session);
  const auto all = everything(session.view());
  const bool ready = all.count() <= kMostInline && evaluator.ready(*key, all) &&
                     session.environment().columns->ready(session.view(), all) &&
                     (!sizes || session.view().has_sizes(all));
  if (!ready && !session.may_block()) return give_up(on_worker());
  auto found = evaluator.evaluate(*key, all);
  if (!found)
    return give_up(found.error().kind == Error::Kind::syntax ? bad(found.error().text)
                                                             : failed(found.error(), "SEARCH is not possible"));
  if (sizes && !session.view().has_sizes(*found))
    if (auto done = session.view().complete_sizes(*found); !done)
      return give_up(failed(done.error(), "Messages cannot be read"));
  return {std::move(*found), std::nullopt, std::move(*key)};
}

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

/// As returned() of SEARCH, where MIN, MAX and PARTIAL are positions in the order.
store::UidSet returned_of(Session& session, const imap::ReturnOptions& options, const store::UidSet& found,
                          const std::vector<std::uint32_t>& order) {
  const bool some = options.min || options.max || options.partial;
  if (options.all || options.count || !some || order.empty()) return found;
  auto numbers = options.partial ? partial_order(order, *options.partial) : std::vector<std::uint32_t>{};
  if (options.min) numbers.push_back(order.front());
  if (options.max) numbers.push_back(order.back());
  store::UidSet told;
  std::ranges::sort(numbers);
  for (const auto number : numbers)
    told.add(session.uid_command() ? store::Uid{number} : *session.view().uid(store::SequenceNumber{number}));
  return told;
}

Completion run_sort(Session& session, const imap::ReturnOptions& options, imap::Arguments& arguments) {
  if (options.update && session.contexts().uses(session.tag())) return bad("Tag reuse");
  IMAPD_TRY(wanted, look_up(options.update_attributes));
  IMAPD_TRY(keys, imap::take_sort_keys(arguments));
  IMAPD_CHECK(arguments.space());
  auto found = find(session, arguments, sorts_by_size(keys), false);
  if (found.instead) return *found.instead;
  const auto order = session.environment()
                         .columns->of(session.view(), found.uids)
                         ->sorted(keys, session.view(), found.uids, session.uid_command());
  std::optional<SearchContext> context;
  if (options.update) {
    IMAPD_TRY(key, without_numbers(session, std::move(found.key)));
    context = SearchContext{.key = std::move(key), .sort = keys, .wanted = std::move(wanted), .found = found.uids};
    context->order = session.uid_command() ? order
                                           : session.environment()
                                                 .columns->of(session.view(), found.uids)
                                                 ->sorted(keys, session.view(), found.uids, true);
  }
  const auto told = returned_of(session, options, found.uids, order);
  if (options.save) session.saved_result() = told;
  const auto modseq = asks_for_modseq(found.key) ? highest_modseq(session.view(), told) : 0;
  if (options.given) {
    Esearch answer{.options = options, .numbers = {}, .order = &order, .modseq = modseq};
    if (options.partial) answer.partial_order = partial_order(order, *options.partial);
    if (!only_saves(options)) send_esearch(session, answer);
    if (context) keep_updated(session, std::move(*context));
    return ok("SORT completed");
  }
  auto& out = session.out();
  out.reserve(out.size() + order.size() * 7 + 16);
  out += "* SORT";
  for (const auto number : order) {
    out += ' ';
    append_decimal(out, number);
  }
  if (modseq != 0) out += " (MODSEQ " + decimal(modseq) + ")";  // RFC 7162 section 3.1.9
  out += "\r\n";
  return ok("SORT completed");
}

Completion sort(Session& session, imap::Arguments& arguments) {
  imap::ReturnOptions options;
  if (arguments.take_word("RETURN ")) {
    IMAPD_TRY(given, imap::take_return_options(arguments));
    options = given;
    IMAPD_CHECK(arguments.space());
  }
  auto done = run_sort(session, options, arguments);
  forget_saved(session, options, done);
  return done;
}

Completion thread(Session& session, imap::Arguments& arguments) {
  IMAPD_TRY(algorithm, arguments.atom());
  const std::string name = to_upper(algorithm);
  if (name != "REFERENCES" && name != "REFS" && name != "ORDEREDSUBJECT") return bad("Unknown threading algorithm");
  IMAPD_CHECK(arguments.space());
  const auto found = find(session, arguments, false, true);
  if (found.instead) return *found.instead;
  const auto threads = session.environment()
                           .columns->of(session.view(), found.uids)
                           ->threads(name, session.view(), found.uids, session.uid_command());
  auto& out = session.out();
  out += "* THREAD";
  if (!threads.empty()) out += ' ';
  out += threads;
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
