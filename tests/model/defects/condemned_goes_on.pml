/* A worker that finishes a condemned task goes on to the next. */
#define DEFECT_CONDEMNED_GOES_ON
#include "../configurations/stopping.pml"
