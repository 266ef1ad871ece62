// RFC 5256 section 3: ORDEREDSUBJECT and REFERENCES.
#include <algorithm>
#include <unordered_map>

#include "message/thread.h"

namespace mail::message {

namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

struct Container {
  std::uint32_t message = kNone;  // index into the input
  std::uint32_t parent = kNone;
  std::vector<std::uint32_t> children;
};

class Threader {
 public:
  explicit Threader(std::vector<ThreadInput> messages) : messages_(std::move(messages)) {}

  std::vector<ThreadNode> by_references(bool merge_subjects) {
    build();
    std::vector<std::uint32_t> roots;
    for (std::uint32_t i = 0; i < containers_.size(); ++i)
      if (containers_[i].parent == kNone) roots.push_back(i);
    roots = prune(roots);
    find_dates();
    sort(roots);
    if (merge_subjects) roots = merge(roots);
    sort_all(roots);
    return emit(roots);
  }

 private:
  std::uint32_t container_for(const std::string& id) {
    const auto [at, added] = by_id_.try_emplace(id, static_cast<std::uint32_t>(containers_.size()));
    if (added) containers_.emplace_back();
    return at->second;
  }

  /// Whether `ancestor` is above `descendant` or the same, or too far away to tell: ids come from the network, and
  /// links that would close a circle are not made.
  bool is_above(std::uint32_t ancestor, std::uint32_t descendant) const {
    constexpr int kMostSteps = 10'000;  // else a mailbox could be made whose threads take for ever
    if (ancestor == descendant) return true;
    if (containers_[ancestor].children.empty()) return false;
    int steps = 0;
    for (auto at = descendant; at != kNone; at = containers_[at].parent)
      if (at == ancestor || ++steps > kMostSteps) return true;
    return false;
  }

  void link(std::uint32_t parent, std::uint32_t child) {
    containers_[child].parent = parent;
    containers_[parent].children.push_back(child);
  }
  void unlink(std::uint32_t child) {
    const auto parent = containers_[child].parent;
    if (parent == kNone) return;
    std::erase(containers_[parent].children, child);
    containers_[child].parent = kNone;
  }

  void build() {
    containers_.reserve(messages_.size() * 2);
    for (std::uint32_t i = 0; i < messages_.size(); ++i) {
      const auto& message = messages_[i];
      std::uint32_t own = kNone;
      if (!message.message_id.empty()) {
        own = container_for(message.message_id);
        if (containers_[own].message != kNone) own = kNone;  // an id used twice: the second counts as having none
      }
      if (own == kNone) {
        own = static_cast<std::uint32_t>(containers_.size());
        containers_.emplace_back();
      }
      containers_[own].message = i;
      std::uint32_t previous = kNone;
      for (const auto& id : message.references) {
        const auto referenced = container_for(id);
        if (previous != kNone && containers_[referenced].parent == kNone && !is_above(referenced, previous))
          link(previous, referenced);
        previous = referenced;
      }
      // The message's own References are the best word on its parent: an older link is undone.
      if (previous == kNone || previous == own) continue;
      if (containers_[own].parent == previous) continue;
      unlink(own);
      if (!is_above(own, previous)) link(previous, own);
    }
  }

  /// Step 4: containers without message go, their children move up; at the root only where there is one child.
  std::vector<std::uint32_t> prune(const std::vector<std::uint32_t>& roots) {
    // Children before parents, without recursion.
    std::vector<std::uint32_t> order = roots;
    for (std::size_t i = 0; i < order.size(); ++i)
      order.insert(order.end(), containers_[order[i]].children.begin(), containers_[order[i]].children.end());
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      std::vector<std::uint32_t> kept;
      for (const auto child : containers_[*at].children) {
        if (containers_[child].message != kNone) {
          kept.push_back(child);
          continue;
        }
        for (const auto grandchild : containers_[child].children) {
          containers_[grandchild].parent = *at;
          kept.push_back(grandchild);
        }
      }
      containers_[*at].children = std::move(kept);
    }
    std::vector<std::uint32_t> left;
    for (const auto root : roots) {
      auto& container = containers_[root];
      if (container.message != kNone || container.children.size() > 1) {
        left.push_back(root);
      } else if (container.children.size() == 1) {
        containers_[container.children.front()].parent = kNone;
        left.push_back(container.children.front());
      }
    }
    return left;
  }

  /// A dummy sorts and is named by its first child, which sorting needs before the children are sorted.
  void find_dates() {
    order_of_.resize(containers_.size());
    for (std::uint32_t i = 0; i < containers_.size(); ++i) {
      auto message = containers_[i].message;
      for (const auto child : containers_[i].children)
        if (containers_[i].message == kNone && containers_[child].message != kNone &&
            (message == kNone || before(containers_[child].message, message)))
          message = containers_[child].message;
      order_of_[i] = message;
    }
  }
  bool before(std::uint32_t a, std::uint32_t b) const {
    return messages_[a].sent != messages_[b].sent ? messages_[a].sent < messages_[b].sent
                                                  : messages_[a].key < messages_[b].key;
  }
  void sort(std::vector<std::uint32_t>& containers) {
    std::ranges::sort(containers, [&](std::uint32_t a, std::uint32_t b) {
      if (order_of_[a] == kNone || order_of_[b] == kNone) return order_of_[b] == kNone && order_of_[a] != kNone;
      return before(order_of_[a], order_of_[b]);
    });
  }
  void sort_all(std::vector<std::uint32_t>& roots) {
    order_of_.resize(containers_.size(), kNone);
    find_dates();
    for (auto& container : containers_) sort(container.children);
    sort(roots);
  }

  const BaseSubject& subject_of(std::uint32_t root) const { return messages_[order_of_[root]].subject; }

  /// Step 5: threads of one base subject become one.
  std::vector<std::uint32_t> merge(const std::vector<std::uint32_t>& roots) {
    std::unordered_map<std::string, std::uint32_t> table;
    for (const auto root : roots) {
      const auto& subject = subject_of(root);
      if (subject.text.empty()) continue;
      const auto [at, added] = table.try_emplace(subject.text, root);
      if (added) continue;
      const bool dummy = containers_[root].message == kNone, dummy_there = containers_[at->second].message == kNone;
      if ((dummy && !dummy_there) ||
          (!dummy_there && subject_of(at->second).is_reply_or_forward && !subject.is_reply_or_forward))
        at->second = root;
    }
    std::vector<bool> gone(containers_.size(), false);
    std::vector<std::uint32_t> added;
    for (const auto root : roots) {
      const auto& subject = subject_of(root);
      if (subject.text.empty()) continue;
      const auto there = table.at(subject.text);
      if (there == root) continue;
      const bool dummy = containers_[root].message == kNone, dummy_there = containers_[there].message == kNone;
      gone[root] = true;
      if (dummy && dummy_there) {
        for (const auto child : containers_[root].children) link(there, child);
      } else if (dummy_there || (subject.is_reply_or_forward && !subject_of(there).is_reply_or_forward)) {
        link(there, root);
      } else {
        const auto both = static_cast<std::uint32_t>(containers_.size());
        containers_.emplace_back();
        order_of_.push_back(order_of_[there]);
        gone.push_back(false);
        link(both, there);
        link(both, root);
        gone[there] = true;
        added.push_back(both);
        table[subject.text] = both;
      }
    }
    std::vector<std::uint32_t> left;
    for (const auto root : roots)
      if (!gone[root]) left.push_back(root);
    for (const auto root : added)
      if (!gone[root]) left.push_back(root);
    return left;
  }

  std::vector<ThreadNode> emit(const std::vector<std::uint32_t>& roots) const {
    // Below kMostDepth replies stand beside each other: a node frees its children, and the stack is finite.
    struct Place {
      std::uint32_t container;
      std::uint32_t parent;
      std::uint32_t depth;
    };
    constexpr std::uint32_t kMostDepth = 1000;
    std::vector<Place> order;
    for (const auto root : roots) order.push_back({root, kNone, 0});
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto place = order[i];
      const bool deepest = place.depth == kMostDepth;
      for (const auto child : containers_[place.container].children)
        order.push_back({child, deepest ? place.parent : place.container, deepest ? place.depth : place.depth + 1});
    }
    // Children are built before their parents; each list ends up in reverse.
    std::unordered_map<std::uint32_t, ThreadNode> built;
    for (auto at = order.rbegin(); at != order.rend(); ++at) {
      auto& node = built[at->container];
      if (containers_[at->container].message != kNone) node.key = messages_[containers_[at->container].message].key;
      std::ranges::reverse(node.children);
      if (at->parent == kNone) continue;
      auto done = std::move(node);
      built.erase(at->container);
      built[at->parent].children.push_back(std::move(done));
    }
    std::vector<ThreadNode> out;
    for (const auto root : roots) out.push_back(std::move(built.at(root)));
    return out;
  }

  std::vector<ThreadInput> messages_;
  std::vector<Container> containers_;
  std::vector<std::uint32_t> order_of_;  // the message that a container sorts by
  std::unordered_map<std::string, std::uint32_t> by_id_;
};

}  // namespace

std::vector<ThreadNode> thread_by_references(std::vector<ThreadInput> messages, bool merge_subjects) {
  return Threader(std::move(messages)).by_references(merge_subjects);
}

std::vector<ThreadNode> thread_by_subject(std::vector<ThreadInput> messages) {
  const auto before = [](const ThreadInput& a, const ThreadInput& b) {
    return a.sent != b.sent ? a.sent < b.sent : a.key < b.key;
  };
  std::ranges::sort(messages, before);
  std::unordered_map<std::string, std::size_t> table;
  std::vector<ThreadNode> out;  // in the order of each thread's first message
  for (const auto& message : messages) {
    const auto [at, added] = table.try_emplace(message.subject.text, out.size());
    if (added) {
      out.push_back({message.key, {}});
    } else {
      out[at->second].children.push_back({message.key, {}});
    }
  }
  return out;
}

}  // namespace mail::message
