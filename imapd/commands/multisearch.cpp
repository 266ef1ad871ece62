// ESEARCH: one search in many mailboxes, or in the selected one (MULTISEARCH, RFC 7377).
#include <algorithm>
#include <array>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "imap/notify.h"
#include "imapd/commands/esearch.h"
#include "imapd/commands/families.h"
#include "imapd/search_evaluator.h"
#include "imapd/session.h"
#include "imapd/uid_sets.h"

namespace mail::imapd {
namespace {

using Kind = imap::MailboxFilter::Kind;

constexpr std::size_t kMostMailboxes = 2'000;  ///< Of one command; each is open for a while after.

struct MultiSearch {
  std::vector<imap::MailboxFilter> sources;
  imap::SearchArguments search;
  std::vector<Wanted> wanted;
};

/// `IN (mailboxes a subtree (b c)) `
Result<std::vector<imap::MailboxFilter>> take_sources(imap::Arguments& arguments) {
  std::vector<imap::MailboxFilter> sources;
  if (!arguments.take_word("IN ")) return sources;
  MAIL_CHECK(arguments.open());
  do {
    if (arguments.peek() == '(') return fail(Error::Kind::syntax, "Unknown scope option");
    MAIL_TRY(source, imap::take_mailbox_filter(arguments));
    if (source.kind == Kind::selected_delayed) return fail(Error::Kind::syntax, "Unknown mailbox specifier");
    sources.push_back(std::move(source));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  MAIL_CHECK(arguments.space());
  return sources;
}

imap::NumberSet numbers_of(const store::UidSet& uids) {
  imap::NumberSet numbers;
  for (const auto& range : uids.ranges()) numbers.add(store::number(range.first), store::number(range.last));
  return numbers;
}

/// The names that the sources mean, each once, the user's own first. Those that do not exist are passed over. Others'
/// mailboxes are among them as LIST shows them; whether they may be read is seen when they are opened.
Result<std::vector<std::string>> mailboxes_of(Session& session, const std::vector<imap::MailboxFilter>& sources) {
  const char separator = session.environment().store->settings().separator;
  std::set<std::string> named, roots, parents;
  bool all = false, subscribed = false;
  for (const auto& source : sources) {
    if (source.kind == Kind::selected) named.insert(session.selected_name());
    all = all || source.kind == Kind::personal || source.kind == Kind::inboxes;
    subscribed = subscribed || source.kind == Kind::subscribed;
    for (const auto& text : source.names) {
      const auto name = session.mailbox_from_wire(text);
      if (!name) continue;
      if (source.kind == Kind::subtree) roots.insert(*name);
      if (source.kind == Kind::subtree_one) parents.insert(*name);
      named.insert(*name);
    }
  }
  MAIL_TRY(entries, session.account().list());
  const auto meant = [&](const store::MailboxEntry& entry) {
    if (named.contains(entry.name)) return true;
    auto at = entry.name.rfind(separator);
    if (at != std::string::npos && parents.contains(entry.name.substr(0, at))) return true;
    for (; at != std::string::npos; at = at == 0 ? std::string::npos : entry.name.rfind(separator, at - 1))
      if (roots.contains(entry.name.substr(0, at))) return true;
    return false;
  };
  std::vector<std::string> names;
  for (const auto& entry : entries) {
    const bool wanted = subscribed && entry.subscribed;
    if (entry.exists && (all || wanted || meant(entry))) names.push_back(entry.name);
    if (!entry.exists && wanted) named.insert(entry.name);  // another user's, perhaps
  }
  if (!roots.empty() || !parents.empty())
    for (const auto& entry : foreign_mailboxes(session))
      if (entry.exists && meant(entry)) named.insert(entry.name);
  for (const auto& name : named)
    if (foreign_name(session.environment(), name)) names.push_back(name);
  return names;
}

/// Searches one mailbox after the other; what cannot be opened is left out (section 2.2).
class MultiSearching : public Work {
 public:
  explicit MultiSearching(MultiSearch request) : request_(std::move(request)) {}

  Completion step(Session& session) override {
    if (!session.may_block()) return on_worker();
    if (!names_) {
      auto names = mailboxes_of(session, request_.sources);
      if (!names) return failed(names.error(), "Mailboxes cannot be listed");
      if (names->size() > kMostMailboxes) return no("[LIMIT] Too many mailboxes in one search");
      names_ = std::move(*names);
    }
    for (; next_ < names_->size(); ++next_) {
      if (session.out().size() > Session::kPiece) return more();
      if (auto refused = search(session, (*names_)[next_])) return *refused;
    }
    return ok("ESEARCH completed");
  }

 private:
  std::optional<Completion> search(Session& session, const std::string& name) {
    Place place;
    if (resolve(session, name, "lr", place)) return std::nullopt;
    if (session.selected() && session.selected_name() == name) {
      SearchEvaluator evaluator(session);
      return answer(session, name, session.view(), evaluator);
    }
    const auto view = place.account->select(place.name, true);
    if (!view) {
      if (view.error().kind == Error::Kind::temporary) return failed(view.error(), "A mailbox cannot be opened");
      return std::nullopt;
    }
    SearchEvaluator evaluator(session, **view);
    return answer(session, name, **view, evaluator);
  }

  std::optional<Completion> answer(Session& session, const std::string& name, store::View& view,
                                   SearchEvaluator& evaluator) {
    const auto& options = request_.search.options;
    const auto found = evaluator.evaluate(request_.search.key, everything(view));
    if (!found) {
      auto refused = failed(found.error(), "SEARCH is not possible");
      forget_saved(session, options, refused);
      return refused;
    }
    std::optional<SearchContext> context;
    if (options.update) {
      IMAPD_TRY(key, without_numbers(session, request_.search.key));
      context = SearchContext{.uids = true, .key = std::move(key), .wanted = request_.wanted, .found = *found};
    }
    const auto told = returned(options, *found);
    if (options.save) session.saved_result() = told;
    if (!found->empty() && !only_saves(options)) {
      Esearch response{.options = options,
                       .numbers = numbers_of(*found),
                       .modseq = asks_for_modseq(request_.search.key) ? highest_modseq(view, told) : 0,
                       .of = &view,
                       .mailbox = name};
      response.options.all = response.options.all || !options.given;
      if (options.partial) response.partial = numbers_of(partial_of(*found, *options.partial));
      send_esearch(session, response);
    }
    if (context) keep_updated(session, std::move(*context));
    return std::nullopt;
  }

  MultiSearch request_;
  std::optional<std::vector<std::string>> names_;
  std::size_t next_ = 0;
};

Completion esearch(Session& session, imap::Arguments& arguments) {
  MultiSearch request;
  IMAPD_TRY(sources, take_sources(arguments));
  IMAPD_TRY(search, imap::take_search_arguments(arguments));
  request.sources = std::move(sources);
  request.search = std::move(search);
  if (request.sources.empty()) request.sources.emplace_back();
  const auto selected = [](const imap::MailboxFilter& source) { return source.kind == Kind::selected; };
  if (std::ranges::any_of(request.sources, selected) && !session.selected()) return bad("Select a mailbox first");
  const auto& options = request.search.options;
  if ((options.save || options.update) && !std::ranges::all_of(request.sources, selected))
    return bad("SAVE and UPDATE are for the selected mailbox");
  if (options.update && session.contexts().uses(session.tag())) return bad("Tag reuse");
  auto& search_key = request.search.key;
  auto refused = decode_charset(search_key, request.search.charset);
  if (!refused) refused = insert_filters(session, search_key, request.search.charset);
  if (!refused) refused = refuse_numbers(session, search_key);
  if (refused) {
    forget_saved(session, options, *refused);
    return *refused;
  }
  if (options.relevancy && !asks_for_fuzziness(request.search.key)) return bad("RELEVANCY needs FUZZY");
  if (asks_for_modseq(request.search.key)) session.use_condstore();
  IMAPD_TRY(wanted, look_up(options.update_attributes));
  request.wanted = std::move(wanted);
  return session.start(std::make_unique<MultiSearching>(std::move(request)));
}

constexpr std::array kMultisearchCommands{
    Command{.name = "ESEARCH", .run = esearch, .capability = "MULTISEARCH", .keeps_numbers = true},
};

}  // namespace

std::span<const Command> multisearch_commands() { return kMultisearchCommands; }

}  // namespace mail::imapd
