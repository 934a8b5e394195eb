/* A finish that loads the word and stores another loses a request for a ring that is made between. */
#define DEFECT_FINISH_BY_STORE
#include "../configurations/futures.pml"
