/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _BSA_VALIDATE_H
#define _BSA_VALIDATE_H

#include <bsa/percpu.h>

struct seq_file;

/**
 * struct bsa_check - one look at a heap
 * @heap: the heap
 * @m: where to say what is wrong; NULL: the log
 * @quiet: nobody is inside a call
 * @section: index of the section that is looked at
 * @index: page of it that is next
 * @covered: page up to which a block reaches
 * @next: owner that is next, when all pages have been looked at
 * @owner: the one that the last slab belonged to
 * @budget: what may still be looked at in this step, in pages
 * @errors: what is wrong
 * @text: lines that are still to be told
 * @len: their length
 * @bytes: room for a report
 * @pages: pages in blocks of each state, by the state of the first page
 * @blocks: their number
 * @live: objects that are free in no bitmap
 * @conflicts: objects that are free in both
 * @deferred: descriptors that say they wait for a lock
 * @kept: blocks kept for CPUs
 * @listed: active, partial and empty slabs that owners say they have
 * @blind: an active slab or its bitmap cannot be looked at
 */
struct bsa_check {
	struct bsa_heap *heap;
	struct seq_file *m;
	bool quiet;
	unsigned int section;
	unsigned long index;
	unsigned long covered;
	struct bsa_cpu *next;
	struct bsa_cpu *owner;
	int budget;
	unsigned long errors;
	char text[BSA_REPORT_LEN];
	size_t len;
	char bytes[BSA_REPORT_LEN];
	unsigned long pages[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long blocks[BSA_PAGE_SLAB_EMPTY + 1];
	unsigned long live;
	unsigned long conflicts;
	unsigned long deferred;
	unsigned long kept;
	unsigned long listed[3];
	bool blind;
};

unsigned long bsa_validate(struct bsa_heap *heap, struct seq_file *m,
			   bool quiet);

/* validate.c, for the others. */
__printf(2, 3) void bsa_check_err(struct bsa_check *check, const char *format,
				  ...);
void bsa_check_same(struct bsa_check *check, const char *what,
		    unsigned long is, unsigned long should_be);
struct bsa_section *bsa_check_section_of(struct bsa_check *check,
					 const struct bsa_page *page);
unsigned long bsa_check_pfn(struct bsa_check *check,
			    const struct bsa_page *page);
void bsa_check_links(struct bsa_check *check, struct bsa_page *page,
		     struct list_head *head);

/* validate_slabs.c */
void bsa_check_slab(struct bsa_check *check, struct bsa_page *slab,
		    unsigned long pfn);
void bsa_check_bitmaps(struct bsa_check *check, struct bsa_page *page,
		       unsigned long pfn);
void bsa_check_owner(struct bsa_check *check, struct bsa_cpu *c);
void bsa_check_slab_counts(struct bsa_check *check);

#endif /* _BSA_VALIDATE_H */
