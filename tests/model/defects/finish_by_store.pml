/* A finish that loads the word and stores another loses a mark that is set between. */
#define DEFECT_FINISH_BY_STORE
#include "../configurations/futures.pml"
